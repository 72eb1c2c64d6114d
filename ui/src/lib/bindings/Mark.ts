export type Mark = "off" | "connecting" | "online" | "busy" | "partial" | "error";
