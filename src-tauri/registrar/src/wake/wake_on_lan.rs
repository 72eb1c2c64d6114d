//! The `wol` recipe: a magic packet, which is six bytes of 0xff and the address sixteen times.

use super::WakeError;
use crate::config::{WolRecipe, mac_address};
use std::net::Ipv4Addr;
use tokio::net::UdpSocket;
use wire::publisher::FailureCode;

/// The discard port, by convention.
const PORT: u16 = 9;

pub(super) async fn run(recipe: &WolRecipe) -> Result<String, WakeError> {
    let failed = |detail: String| WakeError::new(FailureCode::RecipeExit, detail);
    let packet = packet(mac_address::parse(&recipe.mac).map_err(failed)?);
    let to = (recipe.broadcast.unwrap_or(Ipv4Addr::BROADCAST), recipe.port.unwrap_or(PORT));
    let sent = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.set_broadcast(true)?;
        socket.send_to(&packet, to).await
    };
    sent.await.map_err(|e| failed(format!("the magic packet could not be sent: {e}")))?;
    Ok(format!("sent to {}:{}", to.0, to.1))
}

fn packet(mac: [u8; 6]) -> Vec<u8> {
    [&[0xff; 6][..], &mac.repeat(16)].concat()
}

#[cfg(test)]
mod tests {
    use super::run;
    use crate::config::{WolRecipe, mac_address};
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn a_magic_packet_has_the_form_of_the_standard() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let recipe = WolRecipe {
            mac: "01:23:45:67:89:aB".into(),
            broadcast: "127.0.0.1".parse().ok(),
            port: Some(socket.local_addr().unwrap().port()),
        };
        run(&recipe).await.unwrap();
        let mut bytes = [0; 200];
        let length = socket.recv(&mut bytes).await.unwrap();
        assert_eq!(length, 102);
        assert_eq!(bytes[..6], [0xff; 6]);
        assert_eq!(bytes[96..102], mac_address::parse("01-23-45-67-89-AB").unwrap());
    }
}
