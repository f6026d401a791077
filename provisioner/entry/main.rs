//! The first process of a server that gets a credential when it starts: takes the credential from its standard input, puts it into
//! the environment and into files on a tmpfs, and becomes the server. So it is in no image, no volume, no log and in nothing that
//! `docker inspect` shows.
//!
//! `entry PROGRAM ARGUMENT...`, with one frame on standard input: magic, length of the rest (4 bytes, big-endian), then entries of
//! kind (1 byte), name and value (each with its length, 4 bytes, big-endian). What comes after the frame is the server's to read.
//! Copies in our memory go with our memory: `exec` gives the address space back to the kernel, which wipes it.

#![forbid(unsafe_code)]
#![deny(warnings)]

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

const MAGIC: &[u8; 8] = b"AMBITv1\n";
const LONGEST: usize = 1024 * 1024;

const VARIABLE: u8 = 1;
const FILE: u8 = 2;
/// The server reads nothing from us: it listens on a port.
const NO_INPUT: u8 = 3;

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Takes bytes off the front.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count).ok_or_else(|| broken("the frame is cut short"))?;
    *rest = left;
    Ok(taken)
}

fn number(bytes: &[u8]) -> Result<usize> {
    let bytes = bytes.try_into().map_err(|_| broken("a length has four bytes"))?;
    Ok(u32::from_be_bytes(bytes) as usize)
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str> {
    let length = number(take(rest, 4)?)?;
    std::str::from_utf8(take(rest, length)?).map_err(|_| broken("a text is not UTF-8"))
}

fn prepare(server: &mut Command) -> Result<()> {
    // Not `Stdin`, which reads ahead: a byte too much would be missing from what the server reads.
    let mut input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut head = [0; 12];
    input.read_exact(&mut head)?;
    if !head.starts_with(MAGIC) {
        return Err(broken("what came is no frame"));
    }
    let length = number(&head[8..])?;
    if length > LONGEST {
        return Err(broken("the frame is too long"));
    }
    let mut frame = vec![0; length];
    input.read_exact(&mut frame)?;
    let mut rest = frame.as_slice();
    while !rest.is_empty() {
        let kind = take(&mut rest, 1)?[0];
        let (name, value) = (text(&mut rest)?, text(&mut rest)?);
        match kind {
            VARIABLE => drop(server.env(name, value)),
            FILE => {
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(name)?;
                file.write_all(value.as_bytes())?;
            }
            NO_INPUT => drop(server.stdin(Stdio::null())),
            _ => return Err(broken("the frame has an entry of another kind")),
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("ambit: there is no server to start");
        return ExitCode::from(127);
    };
    let mut server = Command::new(&program);
    server.args(arguments);
    if let Err(error) = prepare(&mut server) {
        eprintln!("ambit: the credential did not arrive: {error}");
        return ExitCode::from(125);
    }
    let error = server.exec();
    eprintln!("ambit: `{}` cannot be started: {error}", program.to_string_lossy());
    ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 })
}
