//! The servers that a provisioner knows how to build, for whoever chooses among them. How they are built is the provisioner's to know.

/// A server of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Short name, also the name of the server in a toolbox.
    pub name: &'static str,
    /// The image it becomes: name and version.
    pub image: &'static str,
    /// One line for people.
    pub summary: &'static str,
}

/// `npm @modelcontextprotocol/server-everything`.
pub const EVERYTHING: Entry = Entry {
    name: "everything",
    image: "ambit/everything:2026.8.31",
    summary: "npm @modelcontextprotocol/server-everything: every kind of tool, prompt and resource",
};

/// `PyPI mcp-server-time`.
pub const TIME: Entry = Entry {
    name: "time",
    image: "ambit/time:2026.10.19",
    summary: "PyPI mcp-server-time: the time in any zone",
};

/// `npm @modelcontextprotocol/server-github`. It reads a token from `GITHUB_PERSONAL_ACCESS_TOKEN` when it starts.
pub const GITHUB: Entry = Entry {
    name: "github",
    image: "ambit/github:2025.4.8",
    summary: "npm @modelcontextprotocol/server-github: repositories, issues and pull requests, on a person's account",
};

/// All of them.
pub const CATALOGUE: [Entry; 3] = [EVERYTHING, TIME, GITHUB];
