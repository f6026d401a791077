//! Images of real MCP servers, built on the spot: a root file system of nothing but the runtime's own closure and the
//! server, imported into Docker. No registry, no base image, no shell inside.
//!
//! A recipe is pinned (lock file, hashes); the runtime is this machine's own `node` or `python3`. An image remembers the
//! hash of its recipe in a label, so that building it again is one look-up.

mod node;
mod python;
mod rootfs;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use schemas::catalogue::{EVERYTHING, GITHUB, TIME};
use schemas::ids::Sha256Hex;
use schemas::image::{ImageDigest, ImageReference};

use crate::hardening::USER;
use crate::host::{DockerHost, HostError, ImageConfig, RECIPE_LABEL};
use crate::images::rootfs::Rootfs;

/// Raised when the same recipe makes another image.
const REVISION: u32 = 2;

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A tool this machine lacks.
    #[error("building the image `{image}` needs {tool}: {way_out}")]
    MissingTool {
        /// The image.
        image: String,
        /// What is missing.
        tool: &'static str,
        /// How to get it.
        way_out: &'static str,
    },
    /// A tool that failed.
    #[error("`{command}` failed while building an image: {reason}")]
    Tool {
        /// What ran.
        command: String,
        /// The end of what it said.
        reason: String,
    },
    /// A library of a program is not on this machine.
    #[error("`{program}` needs the library `{library}`, which is not on this machine: install its package")]
    MissingLibrary {
        /// The program.
        program: String,
        /// The library.
        library: String,
    },
    /// The file system.
    #[error("building an image: `{path}`: {error}")]
    Io {
        /// Where.
        path: String,
        /// What.
        error: std::io::Error,
    },
    /// Docker.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] schemas::ParseError),
}

/// What runs a server.
#[derive(Debug, Clone, Copy)]
enum Runtime {
    Node {
        manifest: &'static str,
        lock: &'static str,
        entry: &'static str,
        arguments: &'static [&'static str],
    },
    Python {
        requirements: &'static str,
        module: &'static str,
    },
}

/// A server we know how to build.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Short name, also the name of the server in a toolbox.
    pub name: &'static str,
    /// The image it becomes: name and version.
    pub image: &'static str,
    /// One line for people.
    pub summary: &'static str,
    runtime: Runtime,
}

/// The servers we know how to build.
pub fn catalogue() -> &'static [Recipe] {
    &[
        Recipe {
            name: EVERYTHING.name,
            image: EVERYTHING.image,
            summary: EVERYTHING.summary,
            runtime: Runtime::Node {
                manifest: include_str!("../images/everything/package.json"),
                lock: include_str!("../images/everything/package-lock.json"),
                entry: "@modelcontextprotocol/server-everything/dist/index.js",
                arguments: &["stdio"],
            },
        },
        Recipe {
            name: TIME.name,
            image: TIME.image,
            summary: TIME.summary,
            runtime: Runtime::Python {
                requirements: include_str!("../images/time/requirements.txt"),
                module: "mcp_server_time",
            },
        },
        Recipe {
            name: GITHUB.name,
            image: GITHUB.image,
            summary: GITHUB.summary,
            runtime: Runtime::Node {
                manifest: include_str!("../images/github/package.json"),
                lock: include_str!("../images/github/package-lock.json"),
                entry: "@modelcontextprotocol/server-github/dist/index.js",
                arguments: &[],
            },
        },
    ]
}

/// A recipe by its name.
pub fn recipe(name: &str) -> Option<&'static Recipe> {
    catalogue().iter().find(|recipe| recipe.name == name)
}

/// An image a host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its name.
    pub reference: ImageReference,
    /// Its id: what workloads run by.
    pub digest: ImageDigest,
    /// Whether it was built just now.
    pub fresh: bool,
}

/// Told what happens, one line at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Builds a recipe on a host, unless the host has it.
///
/// # Errors
/// Says what is missing on this machine, or what failed.
pub async fn build(
    host: &dyn DockerHost,
    recipe: &Recipe,
    progress: Progress<'_>,
) -> Result<BuiltImage, ImageError> {
    let reference = ImageReference::parse(recipe.image)?;
    let hash = Sha256Hex::of(format!("{REVISION}\n{:?}", recipe.runtime).as_bytes());
    if let Some(digest) = present(host, &reference, &hash).await? {
        return Ok(BuiltImage { reference, digest, fresh: false });
    }
    progress(&format!("building {reference} ({})", recipe.summary));
    let stage = Stage::new()?;
    let (rootfs, config) = match recipe.runtime {
        Runtime::Node { manifest, lock, entry, arguments } => {
            node::stage(&stage, recipe.image, manifest, lock, entry, arguments, progress).await?
        }
        Runtime::Python { requirements, module } => {
            python::stage(&stage, recipe.image, requirements, module, progress).await?
        }
    };
    import(host, &reference, &hash, &stage, rootfs, config, progress).await
}

/// Makes an image of one program of this machine and the libraries it needs. The arguments are what it runs with unless a
/// workload's `command` says otherwise.
///
/// # Errors
/// Says what is missing on this machine, or what failed.
pub async fn from_binary(
    host: &dyn DockerHost,
    reference: &ImageReference,
    program: &Path,
    arguments: &[&str],
    progress: Progress<'_>,
) -> Result<BuiltImage, ImageError> {
    let content = tokio::fs::read(program).await.map_err(|error| io(program, error))?;
    let hash = Sha256Hex::of(format!("{REVISION}\n{}\n{arguments:?}", Sha256Hex::of(&content)).as_bytes());
    if let Some(digest) = present(host, reference, &hash).await? {
        return Ok(BuiltImage { reference: reference.clone(), digest, fresh: false });
    }
    progress(&format!("building {reference} from {}", program.display()));
    let stage = Stage::new()?;
    let mut rootfs = Rootfs::new();
    rootfs.file("usr/bin/server", program, 0o755);
    rootfs.libraries(&[program.to_owned()]).await?;
    let config = ImageConfig {
        entrypoint: vec!["/usr/bin/server".to_owned()],
        command: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        directory: "/".to_owned(),
        ..ImageConfig::default()
    };
    import(host, reference, &hash, &stage, rootfs, config, progress).await
}

async fn present(
    host: &dyn DockerHost,
    reference: &ImageReference,
    hash: &Sha256Hex,
) -> Result<Option<ImageDigest>, ImageError> {
    let image = host.image(reference.as_str()).await?;
    let same =
        image.filter(|image| image.labels.get(RECIPE_LABEL).map(String::as_str) == Some(hash.as_str()));
    Ok(same.map(|image| image.id))
}

async fn import(
    host: &dyn DockerHost,
    reference: &ImageReference,
    hash: &Sha256Hex,
    stage: &Stage,
    rootfs: Rootfs,
    mut config: ImageConfig,
    progress: Progress<'_>,
) -> Result<BuiltImage, ImageError> {
    progress("packing the root file system");
    let archive = stage.path("rootfs.tar");
    USER.clone_into(&mut config.user);
    config.labels.insert(RECIPE_LABEL.to_owned(), hash.as_str().to_owned());
    config.env.push(("HOME".to_owned(), "/tmp".to_owned()));
    if let Some(path) = rootfs.library_path() {
        config.env.push(("LD_LIBRARY_PATH".to_owned(), path));
    }
    let target = archive.clone();
    let packed = tokio::task::spawn_blocking(move || rootfs.pack(&target)).await;
    let bytes = packed.map_err(|error| io(&archive, std::io::Error::other(error)))??;
    progress(&format!("importing {} MB into Docker", bytes / 1_000_000));
    let digest = host.import(reference, &archive, &config).await?;
    progress(&format!("built {reference}"));
    Ok(BuiltImage { reference: reference.clone(), digest, fresh: true })
}

/// A directory that is gone when the image is done.
#[derive(Debug)]
struct Stage(PathBuf);

impl Stage {
    fn new() -> Result<Self, ImageError> {
        let noise =
            getrandom::u64().map_err(|error| io(Path::new("/dev/urandom"), std::io::Error::other(error)))?;
        let path = std::env::temp_dir().join(format!("ambit-image-{noise:016x}"));
        std::fs::create_dir_all(&path).map_err(|error| io(&path, error))?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    async fn write(&self, name: &str, content: &str) -> Result<PathBuf, ImageError> {
        let path = self.path(name);
        tokio::fs::write(&path, content).await.map_err(|error| io(&path, error))?;
        Ok(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn io(path: &Path, error: std::io::Error) -> ImageError {
    ImageError::Io { path: path.display().to_string(), error }
}

/// Runs a tool and gives its stdout; `None` if there is no such tool.
async fn run(program: &str, arguments: &[&str], directory: &Path) -> Result<Option<String>, ImageError> {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(Path::new(program), error)),
    };
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = [output.stderr, output.stdout].concat();
    let lines: Vec<String> = String::from_utf8_lossy(&said).lines().map(str::to_owned).collect();
    let reason = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("; ");
    Err(ImageError::Tool { command: format!("{program} {}", arguments.join(" ")), reason })
}
