//! The entry program of a simulated container: reads the same frame as the real one (`entry/main.rs`).

use std::io::{Error, ErrorKind, Result};

use tokio::io::AsyncReadExt as _;

use super::Pipes;
use crate::entry::MAGIC;

fn broken() -> Error {
    Error::new(ErrorKind::InvalidData, "no frame")
}

async fn text(pipes: &mut Pipes) -> Result<String> {
    let length = usize::try_from(pipes.stdin.read_u32().await?).map_err(|_| broken())?;
    let mut text = vec![0; length];
    pipes.stdin.read_exact(&mut text).await?;
    String::from_utf8(text).map_err(|_| broken())
}

pub(super) async fn enter(pipes: &mut Pipes) -> Result<()> {
    let mut magic = [0; MAGIC.len()];
    pipes.stdin.read_exact(&mut magic).await?;
    if magic != *MAGIC {
        return Err(broken());
    }
    let mut left = usize::try_from(pipes.stdin.read_u32().await?).map_err(|_| broken())?;
    while left > 0 {
        let _kind = pipes.stdin.read_u8().await?;
        let (name, value) = (text(pipes).await?, text(pipes).await?);
        left = left.checked_sub(9 + name.len() + value.len()).ok_or_else(broken)?;
        pipes.given.push((name, value));
    }
    Ok(())
}
