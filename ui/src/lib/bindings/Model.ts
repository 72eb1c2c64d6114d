export type Model = { name: string, publish: boolean, state: string, trouble: string | null };
