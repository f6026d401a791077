# Ambit on workerd, without Cloudflare: the Worker that `cargo run -p bundle` built, its database and its clock.
#
#   workerd serve --experimental functions/cloudflare/workerd.capnp --directory-path state=DIR \
#     --socket-addr http=127.0.0.1:8787
#
# Secrets and settings come from the environment, under the names they have in wrangler.toml. The database is an SQLite file
# below DIR. One process runs on one core: start one per core, each with its own address, but only one per DIR.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "ambit", worker = .ambit),
    (name = "d1", worker = .d1),
    (name = "cron", worker = .cron),
    (name = "state", disk = (writable = true)),
    # Provisioners and MCP servers are often on private networks or on this machine; the metadata services of clouds are
    # nobody's MCP server.
    (name = "internet", network = (
      allow = ["public", "private"],
      deny = ["169.254.0.0/16", "fe80::/10"],
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "ambit")],
);

const ambit :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "build/worker.js"),
    (name = "index.js", esModule = embed "build/index.js"),
    (name = "snippet0.js", esModule = embed "build/snippet0.js"),
    (name = "index_bg.wasm", wasm = embed "build/index_bg.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  # A caller who hangs up must be heard: that is how calls are cancelled. And D1 is 15 % cheaper by RPC.
  compatibilityFlags = ["enable_request_signal", "d1_binding_jsrpc"],
  bindings = [
    (name = "DB", wrapped = (
      moduleName = "cloudflare-internal:d1-api",
      innerBindings = [(name = "fetcher", service = (name = "d1", props = (json = "{\"database\":\"ambit\"}")))],
    )),
    (name = "AMBIT_PUBLIC_URL", fromEnvironment = "AMBIT_PUBLIC_URL"),
    (name = "AMBIT_PROVISIONER_URL", fromEnvironment = "AMBIT_PROVISIONER_URL"),
    (name = "AMBIT_ORIGINS", fromEnvironment = "AMBIT_ORIGINS"),
    (name = "AMBIT_RATES", fromEnvironment = "AMBIT_RATES"),
    (name = "AMBIT_QUOTA", fromEnvironment = "AMBIT_QUOTA"),
    (name = "AMBIT_REGISTRATION", fromEnvironment = "AMBIT_REGISTRATION"),
    (name = "AMBIT_SIGNING_GENERATION", fromEnvironment = "AMBIT_SIGNING_GENERATION"),
    (name = "AMBIT_VAULT_ROOT", fromEnvironment = "AMBIT_VAULT_ROOT"),
    (name = "AMBIT_VAULT_ROOTS_BEFORE", fromEnvironment = "AMBIT_VAULT_ROOTS_BEFORE"),
    (name = "AMBIT_VAULT_ENDPOINT", fromEnvironment = "AMBIT_VAULT_ENDPOINT"),
    # What the root of the vault needs; for `secret:NAME`, add a line for NAME.
    (name = "AMBIT_VAULT_TOKEN", fromEnvironment = "AMBIT_VAULT_TOKEN"),
    (name = "AWS_ACCESS_KEY_ID", fromEnvironment = "AWS_ACCESS_KEY_ID"),
    (name = "AWS_SECRET_ACCESS_KEY", fromEnvironment = "AWS_SECRET_ACCESS_KEY"),
    (name = "AWS_SESSION_TOKEN", fromEnvironment = "AWS_SESSION_TOKEN"),
    (name = "GOOGLE_CREDENTIALS", fromEnvironment = "GOOGLE_CREDENTIALS"),
    (name = "AMBIT_ROOT_KEY", fromEnvironment = "AMBIT_ROOT_KEY"),
    (name = "AMBIT_OPERATOR_KEY", fromEnvironment = "AMBIT_OPERATOR_KEY"),
    (name = "AMBIT_PROVISIONER_KEY", fromEnvironment = "AMBIT_PROVISIONER_KEY"),
  ],
);

# Both are part of workerd. A database is a Durable Object: the key below and the disk are where it lives.
const d1 :Workerd.Worker = (
  modules = [(name = "d1.js", bundled = "/workerd/d1.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "DATABASE", durableObjectNamespace = "D1Database")],
  durableObjectNamespaces = [(className = "D1Database", uniqueKey = "ambit-database", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
);

const cron :Workerd.Worker = (
  modules = [(name = "cron.js", bundled = "/workerd/cron.js")],
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["service_binding_extra_handlers"],
  bindings = [
    (name = "SCHEDULE", durableObjectNamespace = "Schedule"),
    (name = "CRONS", json = "{\"AMBIT\":[\"* * * * *\"]}"),
    (name = "AMBIT", service = "ambit"),
  ],
  durableObjectNamespaces = [(className = "Schedule", uniqueKey = "ambit-schedule", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
);
