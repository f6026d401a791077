//! A root file system as a list of files, packed the same way each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::images::{ImageError, io, run};

#[derive(Debug)]
enum Entry {
    File { source: PathBuf, mode: u32 },
    Text { content: String, mode: u32 },
    Link { target: PathBuf },
    Directory { mode: u32 },
}

/// What an image holds, by path without leading slash.
#[derive(Debug)]
pub(super) struct Rootfs {
    entries: BTreeMap<PathBuf, Entry>,
    library_directories: BTreeSet<String>,
}

/// Directories every dynamic linker looks into by itself.
fn is_default(directory: &str) -> bool {
    let plain = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"].contains(&directory);
    let parent = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
    plain || (["/lib", "/usr/lib"].contains(&parent) && directory.contains("-linux-"))
}

impl Rootfs {
    /// Only what every program may expect: its own user, and a place for `/tmp`.
    pub(super) fn new() -> Self {
        let mut rootfs = Self { entries: BTreeMap::new(), library_directories: BTreeSet::new() };
        rootfs.text("etc/passwd", "root:x:0:0:root:/:/none\nserver:x:10001:10001:server:/tmp:/none\n");
        rootfs.text("etc/group", "root:x:0:\nserver:x:10001:\n");
        rootfs.text("etc/nsswitch.conf", "hosts: files dns\n");
        rootfs.entries.insert("tmp".into(), Entry::Directory { mode: 0o1777 });
        rootfs
    }

    pub(super) fn text(&mut self, path: &str, content: &str) {
        self.entries.insert(path.into(), Entry::Text { content: content.to_owned(), mode: 0o644 });
    }

    pub(super) fn file(&mut self, path: &str, source: &Path, mode: u32) {
        self.entries
            .insert(path.trim_start_matches('/').into(), Entry::File { source: source.to_owned(), mode });
    }

    /// Adds a directory with all that passes.
    pub(super) fn tree(
        &mut self,
        path: &Path,
        source: &Path,
        keep: &dyn Fn(&Path) -> bool,
    ) -> Result<(), ImageError> {
        for found in std::fs::read_dir(source).map_err(|error| io(source, error))? {
            let found = found.map_err(|error| io(source, error))?;
            let (from, to) = (found.path(), path.join(found.file_name()));
            if !keep(&from) {
                continue;
            }
            let about = found.metadata().map_err(|error| io(&from, error))?;
            if about.is_dir() {
                self.tree(&to, &from, keep)?;
            } else if about.is_symlink() {
                let target = std::fs::read_link(&from).map_err(|error| io(&from, error))?;
                // A link out of the tree would lead nowhere inside the image.
                if target.is_relative() {
                    self.entries.insert(to, Entry::Link { target });
                }
            } else if about.is_file() {
                self.entries.insert(to, Entry::File { mode: mode(&about), source: from });
            }
        }
        Ok(())
    }

    /// Adds every library the programs load, each where it is on this machine.
    pub(super) async fn libraries(&mut self, programs: &[PathBuf]) -> Result<(), ImageError> {
        for batch in programs.chunks(40) {
            let paths: Vec<&str> = batch.iter().filter_map(|program| program.to_str()).collect();
            let said = match run("ldd", &paths, Path::new("/")).await {
                Ok(Some(said)) => said,
                Ok(None) => {
                    return Err(ImageError::MissingTool {
                        image: "any".to_owned(),
                        tool: "`ldd`",
                        way_out: "it comes with the C library (Debian: `apt-get install libc-bin`)",
                    });
                }
                Err(_) => self.ldd_each(batch).await?,
            };
            self.add_libraries(&said, batch)?;
        }
        Ok(())
    }

    /// `ldd` fails as a whole for one static program among many.
    async fn ldd_each(&self, programs: &[PathBuf]) -> Result<String, ImageError> {
        let mut said = String::new();
        for program in programs {
            let program = program.display().to_string();
            match run("ldd", &[&program], Path::new("/")).await {
                Ok(text) => said.push_str(&text.unwrap_or_default()),
                Err(ImageError::Tool { reason, .. })
                    if reason.contains("not a dynamic") || reason.contains("statically") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(said)
    }

    fn add_libraries(&mut self, said: &str, programs: &[PathBuf]) -> Result<(), ImageError> {
        for line in said.lines().map(str::trim) {
            let (name, rest) = line.split_once(" => ").unwrap_or((line, line));
            if rest.starts_with("not found") {
                return Err(ImageError::MissingLibrary {
                    program: programs
                        .first()
                        .map(|program| program.display().to_string())
                        .unwrap_or_default(),
                    library: name.to_owned(),
                });
            }
            let Some(path) =
                rest.split(" (").next().filter(|path| path.starts_with('/') && line.contains(" (0x"))
            else {
                continue;
            };
            // A library next to its program came with the program's tree.
            if programs
                .iter()
                .any(|program| program.parent().is_some_and(|beside| Path::new(path).starts_with(beside)))
                && !path.starts_with("/lib")
            {
                continue;
            }
            if let Some((directory, _)) = path.rsplit_once('/')
                && !is_default(directory)
            {
                self.library_directories.insert(directory.to_owned());
            }
            self.file(path, Path::new(path), 0o755);
        }
        Ok(())
    }

    /// Where libraries are that no dynamic linker finds by itself.
    pub(super) fn library_path(&self) -> Option<String> {
        let path: Vec<&str> = self.library_directories.iter().map(String::as_str).collect();
        (!path.is_empty()).then(|| path.join(":"))
    }

    /// Writes the archive; gives its size. No owner, no time: the same files make the same bytes.
    pub(super) fn pack(mut self, target: &Path) -> Result<u64, ImageError> {
        let paths: Vec<PathBuf> = self.entries.keys().cloned().collect();
        for parent in
            paths.iter().flat_map(|path| path.ancestors().skip(1)).filter(|path| !path.as_os_str().is_empty())
        {
            self.entries.entry(parent.to_owned()).or_insert(Entry::Directory { mode: 0o755 });
        }
        let file = File::create(target).map_err(|error| io(target, error))?;
        let mut archive = Builder::new(BufWriter::with_capacity(1 << 20, file));
        for (path, entry) in &self.entries {
            append(&mut archive, path, entry).map_err(|error| io(path, error))?;
        }
        archive.finish().map_err(|error| io(target, error))?;
        drop(archive);
        std::fs::metadata(target).map(|about| about.len()).map_err(|error| io(target, error))
    }
}

fn append(archive: &mut Builder<BufWriter<File>>, path: &Path, entry: &Entry) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    match entry {
        Entry::File { source, mode } => {
            let file = File::open(source)?;
            header.set_mode(*mode);
            header.set_size(file.metadata()?.len());
            archive.append_data(&mut header, path, file)
        }
        Entry::Text { content, mode } => {
            header.set_mode(*mode);
            header.set_size(content.len().try_into().unwrap_or_default());
            archive.append_data(&mut header, path, content.as_bytes())
        }
        Entry::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            archive.append_link(&mut header, path, target)
        }
        Entry::Directory { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(*mode);
            header.set_size(0);
            archive.append_data(&mut header, path, std::io::empty())
        }
    }
}

#[cfg(unix)]
fn mode(about: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    // Readable by the server's user whatever this machine's umask was.
    if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

#[cfg(not(unix))]
fn mode(_about: &std::fs::Metadata) -> u32 {
    0o644
}
