//! `ambit dev`: the main job on one machine, for real. Nothing here skips policy or audit: the demo is set up through the API, and its
//! agent may do what a policy file says that its author can edit while it runs.

mod provision;
mod setup;
mod watch;

use std::io::Write as _;
use std::time::Duration;

use gateway::{Gateway, Settings};
use standalone::data::DataDirectory;
use standalone::database::Database;
use standalone::platform::Native;
use standalone::serve;
use tokio::sync::watch as channel;

use crate::arguments::Dev;
use crate::operate::{self, Failure, cores, on_this_thread, stop_on_signal};
use crate::operator::Operator;

pub(crate) fn run(options: &Dev) -> Result<(), Failure> {
    let data = DataDirectory::open(&options.data)?;
    let secrets = data.secrets(&[])?;
    let database = Database::open(&data.database())?;
    let listener = serve::bind(options.listen)?;
    let address = listener.local_addr()?;
    let public_url = format!("http://{address}");

    let base =
        Settings::new(&public_url)?.limits(Duration::from_secs(options.call_limit), Duration::from_mins(10));
    operate::migrate_up(&base, &database, &secrets)?;
    let key = on_this_thread(async {
        let platform = Native::new(database.clone(), secrets.clone())?;
        Ok::<_, Failure>(Gateway::new(base.clone(), &platform)?.provisioner_key())
    })??;
    let provisioner = provision::start(&options.docker, &key)?;
    let settings = base.provisioner(provisioner.url.clone());

    let (stop, stopped) = channel::channel(false);
    stop_on_signal(stop)?;
    let serving = {
        let (settings, database, secrets, stopped) =
            (settings.clone(), database.clone(), secrets.clone(), stopped.clone());
        std::thread::Builder::new().name("ambit-serve".to_owned()).spawn(move || {
            let how = serve::How { cores: cores(), addresses: serve::Addresses::Socket };
            serve::serve(&listener, &settings, &database, &secrets, &stopped, how)
        })?
    };
    on_this_thread(async {
        let platform = Native::new(database.clone(), secrets.clone())?;
        let gateway = Gateway::new(settings, &platform)?;
        let operator = Operator::new(&gateway, &platform, &secrets, "demo")?;
        let mut stopping = stopped.clone();
        let setting_up = async {
            let demo = setup::demo(&operator, &data, &provisioner, &options.servers).await?;
            announce(options, &public_url, &data, &demo)?;
            watch::policies(&operator, &data).await
        };
        tokio::select! {
            ended = setting_up => ended,
            _ = stopping.wait_for(|stop| *stop) => Ok::<(), Failure>(()),
        }
    })??;
    serving.join().map_err(|_| "a core panicked")??;
    Ok(())
}

/// What to paste.
fn announce(
    options: &Dev,
    public_url: &str,
    data: &DataDirectory,
    demo: &setup::Demo,
) -> Result<(), Failure> {
    let mcp_url = format!("{public_url}/mcp/demo/demo");
    let key = demo.key.expose();
    let mut out = std::io::stdout();
    if options.ready_json {
        let line = serde_json::json!({
            "mcp_url": mcp_url, "api_key": key, "api_url": format!("{public_url}/api/v1"),
            "sign_in_url": demo.sign_in_url, "data_dir": data.path(),
        });
        writeln!(out, "{line}")?;
        return Ok(out.flush()?);
    }
    let headers = format!(
        "-H 'authorization: Bearer {key}' \\\n    -H 'content-type: application/json' -H 'accept: application/json, text/event-stream'"
    );
    writeln!(
        out,
        "\nAmbit is ready.\n\n  MCP URL   {mcp_url}\n  API key   {key}\n  Sign in   {} (once, within a day)",
        demo.sign_in_url
    )?;
    writeln!(
        out,
        "  API       {public_url}/api/v1 (operator's key: {})",
        data.path().join("operator.key").display()
    )?;
    writeln!(out, "  Policy    {} (edit it while this runs)\n", watch::file(data).display())?;
    writeln!(
        out,
        "List the tools:\n\n  curl -s {mcp_url} {headers} \\\n    -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}}'\n"
    )?;
    if let Some((tool, arguments)) = &demo.example {
        writeln!(
            out,
            "Call one:\n\n  curl -s {mcp_url} {headers} \\\n    -d '{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments}}}}}'\n"
        )?;
    } else {
        writeln!(
            out,
            "The toolbox has no server yet. Give it a remote one that speaks MCP 2026-07-28:\n\n{}\n",
            remote_example(public_url, data)
        )?;
    }
    writeln!(out, "Ctrl-C stops it; starting it again finds its data in {}.", data.path().display())?;
    Ok(out.flush()?)
}

fn remote_example(public_url: &str, data: &DataDirectory) -> String {
    let operator =
        format!("-H \"authorization: Bearer $(cat {})\"", data.path().join("operator.key").display());
    let org = format!("{public_url}/api/v1/orgs/demo");
    format!(
        "  curl -X PUT  {org}/servers/mine {operator} -d '{{\"url\":\"https://mcp.example/mcp\"}}'\n  \
         curl -X PUT  {org}/toolboxes/demo {operator} -d '{{\"servers\":[{{\"name\":\"mine\"}}]}}'\n  \
         curl -X POST {org}/toolboxes/demo/servers/mine/inspect {operator} -d '{{\"approve\":\"declared\"}}'"
    )
}
