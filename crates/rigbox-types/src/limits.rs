//! Every size, count and time that a user can meet, in one list, with its reason.
//! Does not hold the plans' numbers, which are data in the store.

/// Least memory of a workspace, in MiB: the tiny image boots in 96 and leaves room for a shell.
pub const RAM_MIN_MB: u32 = 128;
/// Most memory of a workspace, in MiB, whatever the plan: 1 TiB, beyond any tested guest.
pub const RAM_MAX_MB: u32 = 1024 * 1024;
/// Most vCPUs of a workspace, whatever the plan: Firecracker's limit.
pub const VCPU_MAX: u8 = 32;
/// Least disk of a workspace, in MiB.
pub const DISK_MIN_MB: u32 = 128;
/// Most disk of a workspace, in MiB, whatever the plan: 16 TiB, the largest ext4 file of 4 KiB blocks.
pub const DISK_MAX_MB: u32 = 16 * 1024 * 1024;
/// Most environment variables of a workspace.
pub const ENV_MAX_COUNT: usize = 256;
/// Longest name of an environment variable, in bytes.
pub const ENV_NAME_MAX_LEN: usize = 256;
/// Longest value of an environment variable, in bytes.
pub const ENV_VALUE_MAX_LEN: usize = 32 * 1024;
/// Largest JSON request body, in bytes.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;
/// Largest setup script, in bytes.
pub const SETUP_SCRIPT_MAX_BYTES: usize = 256 * 1024;
/// Most setup scripts and most service specs of a workspace.
pub const SETUP_MAX_COUNT: usize = 32;
/// Most entries of an egress allow-list (names and networks together).
pub const EGRESS_MAX_ENTRIES: usize = 128;
/// Default and most results of a page.
pub const PAGE_DEFAULT: u32 = 50;
/// See [`PAGE_DEFAULT`].
pub const PAGE_MAX: u32 = 200;
/// Default and most requests of an app that one answer lists; no more of them are kept.
pub const APP_REQUESTS_DEFAULT: u32 = 200;
/// See [`APP_REQUESTS_DEFAULT`].
pub const APP_REQUESTS_MAX: u32 = 500;
/// Default and most lines of a log answer.
pub const LOG_LINES_DEFAULT: u32 = 200;
/// See [`LOG_LINES_DEFAULT`].
pub const LOG_LINES_MAX: u32 = 5_000;
/// How long a command of `exec` whose answer is one document may run when its request does not
/// say, in seconds.
pub const EXEC_TIMEOUT_DEFAULT_S: u32 = 60;
/// Longest time a command of `exec` may run, in seconds.
pub const EXEC_TIMEOUT_MAX_S: u32 = 24 * 3600;
/// Most output of a command that is answered in one document, in bytes and per stream.
pub const EXEC_OUTPUT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Largest file that `files` carries, in bytes.
pub const FILE_MAX_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Most entries of a directory listing.
pub const FILE_LIST_MAX: usize = 10_000;
/// How long the first answer to an `Idempotency-Key` is kept, in hours.
pub const IDEMPOTENCY_HOURS: u32 = 24;
/// Most `Idempotency-Key`s of an account whose answers are kept: seven a minute, all day.
pub const IDEMPOTENCY_KEYS_MAX_COUNT: u32 = 10_000;
/// Largest answer that is kept for an `Idempotency-Key`, in bytes. What a larger one was about has
/// been made, and a repeat is answered with it as it is then.
pub const IDEMPOTENCY_ANSWER_MAX_BYTES: usize = 8 * 1024;
/// Longest path of a file or directory in a workspace, in bytes: Linux's `PATH_MAX` without its NUL.
pub const PATH_MAX_LEN: usize = 4095;
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_MAX_LEN: usize = 255;
/// Longest name that is for people only, in characters.
pub const TITLE_MAX_LEN: usize = 128;
/// Longest address of an account's picture, in bytes.
pub const AVATAR_URL_MAX_LEN: usize = 2048;
/// Longest public SSH key, in bytes: RSA of 16,384 bits is under 2,800, a comment may follow.
pub const SSH_KEY_MAX_LEN: usize = 8 * 1024;
/// Most SSH keys of an account.
pub const SSH_KEYS_MAX_COUNT: usize = 64;
/// Most API keys of an account.
pub const API_KEYS_MAX_COUNT: u64 = 100;
/// Most scopes of an API key: one that must reach more is better served with a key each.
pub const API_KEY_SCOPES_MAX_COUNT: usize = 32;
/// Most setup scripts of an account: several for each workspace of a machine.
pub const SETUP_SCRIPTS_MAX_COUNT: u64 = 256;
/// Most service specs of an account: several for each workspace of a machine.
pub const SERVICE_SPECS_MAX_COUNT: u64 = 256;
/// Most plans of an installation: all of them are one short list.
pub const PLANS_MAX_COUNT: usize = 100;
/// Largest number of a plan, and of an account's own ones: beyond any fleet, and whole in JSON.
pub const QUOTA_MAX: u64 = 1_000_000_000_000;
/// Longest `exec_start` of a service spec, in bytes.
pub const EXEC_START_MAX_LEN: usize = 4096;
/// How long a terminal token opens a terminal, in seconds.
pub const TERMINAL_TOKEN_S: u32 = 30;
/// The window of rate limits, in seconds.
pub const RATE_WINDOW_S: u32 = 60;
/// Requests of an account about keys and sign-in within the window; also wrong credentials that an
/// address may send before it is told to wait.
pub const RATE_AUTHENTICATION: u32 = 120;
/// Requests of an account about workspaces within the window.
pub const RATE_WORKSPACES: u32 = 180;
/// Requests of an account about apps within the window.
pub const RATE_APPS: u32 = 240;
/// Requests of an address that need no key within the window: the pages and probes of a whole office.
pub const RATE_OPEN: u32 = 600;
/// How long an entry of the audit record is kept, in days: a year, and a month to look at it.
pub const AUDIT_DAYS: u32 = 396;
/// Most roles that are given on one thing: a team; a larger one is given a role on the account.
pub const BINDINGS_OF_RESOURCE_MAX_COUNT: u64 = 100;
/// Most roles that are given to one account on what one other owns: one on that account gives as
/// much as many on its things.
pub const BINDINGS_OF_PRINCIPAL_MAX_COUNT: u64 = 100;
/// Most roles that are given to one account by all others together, each of which a list of what is
/// shared may read. It is so large that no few accounts use it up for somebody else.
pub const BINDINGS_OF_PRINCIPAL_IN_ALL_MAX_COUNT: u64 = 10_000;
/// Most people of one answer of the lookup.
pub const PRINCIPALS_MAX: u32 = 100;
/// Longest text that people are looked up by, in bytes: an e-mail address.
pub const PRINCIPALS_QUERY_MAX_LEN: usize = 254;
/// Most tags of a thing.
pub const TAGS_MAX_COUNT: usize = 32;
/// Longest key of a tag, in bytes.
pub const TAG_KEY_MAX_LEN: usize = 64;
/// Longest value of a tag, in bytes.
pub const TAG_VALUE_MAX_LEN: usize = 256;
/// Port of an app whose request does not say one.
pub const APP_PORT_DEFAULT: u16 = 3000;
/// Longest description of an app, in characters.
pub const APP_DESCRIPTION_MAX_LEN: usize = 1024;
/// Largest metadata of an app, in bytes of compact JSON.
pub const APP_METADATA_MAX_BYTES: usize = 16 * 1024;
/// Most e-mail addresses that an app lists: each edge holds them for every app.
pub const APP_EMAILS_MAX_COUNT: usize = 100;
/// Most log sources of an app.
pub const APP_LOG_SOURCES_MAX_COUNT: u64 = 16;
/// Most share links of an app that have not ended.
pub const SHARE_LINKS_MAX_COUNT: u64 = 50;
/// How long a share link lets in when its request does not say, in days.
pub const SHARE_LINK_DAYS_DEFAULT: u32 = 7;
/// Longest time that a share link lets in, in days.
pub const SHARE_LINK_DAYS_MAX: u32 = 90;
/// How long the name of a deleted app stays with its account, in hours: whoever still follows a link
/// to it does not meet somebody else's app at once.
pub const APP_NAME_KEPT_HOURS: u32 = 24;
/// Most names that stay so with one account: previews of a busy project, and not a dictionary.
pub const APP_NAMES_KEPT_MAX_COUNT: u64 = 500;
/// Most AI credits of one amount and of a balance, in whole ones: ten million dollars of provider cost.
/// In millionths it is below 2^53, so that every reader of JSON has it whole.
pub const CREDITS_MAX: u32 = 1_000_000_000;
/// Longest id of a request that credits are held for, in bytes.
pub const CREDITS_REQUEST_ID_MAX_LEN: usize = 128;
/// Longest reason of an entry in the ledger of credits, in characters.
pub const CREDITS_REASON_MAX_LEN: usize = 256;
/// Longest name of a model, in bytes: those of gateways name a provider and a version.
pub const AI_MODEL_MAX_LEN: usize = 200;
/// Least and most of a key at an AI provider, in bytes: those there are have 31 to 200.
pub const AI_KEY_MIN_LEN: usize = 16;
/// See [`AI_KEY_MIN_LEN`].
pub const AI_KEY_MAX_LEN: usize = 512;
