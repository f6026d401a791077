//! Servers from the Python package index.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::host::ImageConfig;
use crate::images::rootfs::Rootfs;
use crate::images::{ImageError, Progress, Stage, io, run};

/// Where this machine's Python is, as it says itself.
#[derive(Debug, Deserialize)]
struct Facts {
    program: PathBuf,
    library: PathBuf,
    version: String,
}

const ASK: &str = "import json,os,sys,sysconfig; print(json.dumps({\
    'program': os.path.realpath(sys.executable), 'library': sysconfig.get_path('stdlib'),\
    'version': '%d.%d' % sys.version_info[:2]}))";

/// What a server never imports: tests, editors, installers, other people's packages.
const LEFT_OUT: [&str; 12] = [
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "__pycache__",
    "site-packages",
    "dist-packages",
    "pydoc_data",
    "venv",
];

pub(super) async fn stage(
    stage: &Stage,
    image: &str,
    requirements: &str,
    module: &str,
    progress: Progress<'_>,
) -> Result<(Rootfs, ImageConfig), ImageError> {
    let missing = |tool| ImageError::MissingTool {
        image: image.to_owned(),
        tool,
        way_out: "install Python 3.10 or newer with pip (Debian: `apt-get install python3 python3-pip`)",
    };
    let here = Path::new("/");
    let said = run("python3", &["-c", ASK], here).await?.ok_or_else(|| missing("`python3`"))?;
    let facts: Facts = serde_json::from_str(said.trim())
        .map_err(|error| ImageError::Tool { command: "python3".to_owned(), reason: error.to_string() })?;
    let program = facts.program.display().to_string();
    if run(&program, &["-m", "pip", "--version"], here).await.is_err() {
        return Err(missing("pip"));
    }
    let pins = stage.write("requirements.txt", requirements).await?.display().to_string();
    let packages = stage.path("packages");
    progress("pip: installing what the requirements name, by hash");
    let target = packages.display().to_string();
    // Wheels only: nothing of a package runs on this machine.
    let install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-warn-conflicts",
        "--no-deps",
        "--no-compile",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "--root-user-action",
        "ignore",
        "--target",
        &target,
        "-r",
        &pins,
    ];
    run(&program, &install, &stage.0).await?;
    progress("python: copying the standard library and compiling");
    let library = stage.path("library");
    let keep = |path: &Path| {
        !LEFT_OUT.contains(&path.file_name().unwrap_or_default().to_string_lossy().as_ref())
            && !path.file_name().unwrap_or_default().to_string_lossy().starts_with("config-")
    };
    copy(&facts.library, &library, &keep)?;
    let compiled = library.display().to_string();
    // The root file system is read-only, so what is not compiled now never is; unchecked, since no source ever changes.
    let compile = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"];
    for (directory, place) in
        [(&compiled, format!("/usr/local/lib/python{}", facts.version)), (&target, "/srv".to_owned())]
    {
        let all = [compile.as_slice(), &["-s", directory, "-p", &place, directory]].concat();
        // Packages carry files for Pythons newer than this one; they do not compile, and are never imported.
        let _ = run(&program, &all, here).await;
    }
    let mut rootfs = Rootfs::new();
    let everything = |path: &Path| !path.ends_with("bin");
    let home = format!("usr/local/lib/python{}", facts.version);
    rootfs.tree(Path::new(&home), &library, &|_| true)?;
    rootfs.tree(Path::new("srv"), &packages, &everything)?;
    rootfs.file("usr/local/bin/python3", &facts.program, 0o755);
    let mut programs = vec![facts.program.clone()];
    extensions(&library, &mut programs)?;
    extensions(&packages, &mut programs)?;
    rootfs.libraries(&programs).await?;
    let env = [
        ("PYTHONHOME", "/usr/local"),
        ("PYTHONPATH", "/srv"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUNBUFFERED", "1"),
        ("TZ", "UTC"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let entrypoint = ["/usr/local/bin/python3", "-s", "-m", module].map(str::to_owned).to_vec();
    Ok((rootfs, ImageConfig { entrypoint, env, directory: "/srv".to_owned(), ..ImageConfig::default() }))
}

fn copy(source: &Path, target: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<(), ImageError> {
    std::fs::create_dir_all(target).map_err(|error| io(target, error))?;
    for found in std::fs::read_dir(source).map_err(|error| io(source, error))? {
        let from = found.map_err(|error| io(source, error))?.path();
        let (Some(name), true) = (from.file_name(), keep(&from)) else { continue };
        let to = target.join(name);
        if from.is_dir() {
            copy(&from, &to, keep)?;
        } else if from.is_file() {
            std::fs::copy(&from, &to).map_err(|error| io(&from, error))?;
        }
    }
    Ok(())
}

/// Every compiled module under a directory.
fn extensions(directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), ImageError> {
    for entry in std::fs::read_dir(directory).map_err(|error| io(directory, error))? {
        let path = entry.map_err(|error| io(directory, error))?.path();
        if path.is_dir() {
            extensions(&path, found)?;
        } else if path.to_string_lossy().contains(".so") && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}
