//! An MCP server that costs next to nothing: it looks at no more of a request than its id and its method, and answers 300 bytes.

use std::convert::Infallible;

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Of `server/discover`.
const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"upstream","version":"1"},"ttlMs":0,"cacheScope":"public"}"#;
/// Of `tools/list`.
const TOOLS: &str = r#"{"resultType":"complete","tools":[{"name":"look","description":"Looks something up.","inputSchema":{"type":"object","properties":{"key":{"type":"string"}}}}],"ttlMs":0,"cacheScope":"public"}"#;
/// Of `tools/call`.
const RESULT: &str = r#"{"resultType":"complete","content":[{"type":"text","text":"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip."}]}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<Infallible> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0_u16);
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is nobody's loss.
        tokio::spawn(async move { drop(serve(stream).await) });
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(8192);
    let mut answer = String::with_capacity(1024);
    loop {
        while let Some(length) = whole(&buffer) {
            reply(buffer.get(..length).unwrap_or_default(), &mut answer);
            stream.write_all(answer.as_bytes()).await?;
            buffer.drain(..length);
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The length of the first request, once all of it is there.
fn whole(buffer: &[u8]) -> Option<usize> {
    let head = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let name = b"ontent-length: ";
    let lower = memmem::find(buffer.get(..head)?, name)
        .or_else(|| memmem::find(buffer.get(..head)?, b"ontent-Length: "));
    let digits = buffer.get(lower? + name.len()..head)?;
    let body =
        digits.iter().take_while(|c| c.is_ascii_digit()).fold(0, |n, c| n * 10 + usize::from(c - b'0'));
    (buffer.len() >= head + body).then_some(head + body)
}

fn reply(request: &[u8], answer: &mut String) {
    use std::fmt::Write as _;
    let body =
        memmem::find(request, b"\r\n\r\n").and_then(|head| request.get(head + 4..)).unwrap_or_default();
    let id = memmem::find(body, br#""id":"#)
        .and_then(|at| body.get(at + 5..))
        .and_then(|rest| rest.split(|c| matches!(c, b',' | b'}')).next())
        .and_then(|id| std::str::from_utf8(id).ok())
        .unwrap_or("null");
    let says = |method: &[u8]| memmem::find(body, method).is_some();
    let result = match () {
        () if says(br#""tools/call""#) => RESULT,
        () if says(br#""tools/list""#) => TOOLS,
        () => DISCOVERED,
    };
    let length = r#"{"jsonrpc":"2.0","id":,"result":}"#.len() + id.len() + result.len();
    answer.clear();
    let _ = write!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"
    );
}
