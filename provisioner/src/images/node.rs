//! Servers from npm.

use std::path::{Path, PathBuf};

use crate::host::ImageConfig;
use crate::images::rootfs::Rootfs;
use crate::images::{ImageError, Progress, Stage, io, run};

pub(super) async fn stage(
    stage: &Stage,
    image: &str,
    manifest: &str,
    lock: &str,
    entry: &str,
    arguments: &[&str],
    progress: Progress<'_>,
) -> Result<(Rootfs, ImageConfig), ImageError> {
    let missing = |tool| ImageError::MissingTool {
        image: image.to_owned(),
        tool,
        way_out: "install Node 20 or newer with npm (Debian: `apt-get install nodejs npm`)",
    };
    let here = Path::new("/");
    let program = run("node", &["-p", "process.execPath"], here).await?.ok_or_else(|| missing("`node`"))?;
    let program = PathBuf::from(program.trim());
    let program = program.canonicalize().map_err(|error| io(&program, error))?;
    stage.write("package.json", manifest).await?;
    stage.write("package-lock.json", lock).await?;
    progress("npm: installing what the lock file names");
    // No scripts: nothing of the package runs on this machine.
    let install = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run("npm", &install, &stage.0).await?.ok_or_else(|| missing("`npm`"))?;
    let mut rootfs = Rootfs::new();
    let modules = stage.path("node_modules");
    rootfs.tree(Path::new("srv/node_modules"), &modules, &|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !(name.ends_with(".map") || name.ends_with(".d.ts") || name.ends_with(".d.cts") || name == ".bin")
    })?;
    rootfs.text("srv/package.json", manifest);
    rootfs.file("usr/bin/node", &program, 0o755);
    rootfs.libraries(&[program]).await?;
    let entrypoint = vec!["/usr/bin/node".to_owned(), format!("/srv/node_modules/{entry}")];
    let command = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let env = vec![("NODE_ENV".to_owned(), "production".to_owned())];
    Ok((
        rootfs,
        ImageConfig { entrypoint, command, env, directory: "/srv".to_owned(), ..ImageConfig::default() },
    ))
}
