//! The query parameters of the rows.

use super::{Parameter, ParameterKind};
use crate::{access::ScopeKind, api::metrics::WorkspaceMetricsRange, limits};

const MAX_RESULTS: Parameter = Parameter {
    name: "max_results",
    kind: ParameterKind::Number { min: 1, max: limits::PAGE_MAX, default: limits::PAGE_DEFAULT },
    required: false,
    about: "Most results of this page.",
};

const CURSOR: Parameter = Parameter {
    name: "cursor",
    kind: ParameterKind::Text { max_len: CURSOR_MAX_LEN },
    required: false,
    about: "`next_cursor` of the page before.",
};

pub(super) const PAGE: &[Parameter] = &[MAX_RESULTS, CURSOR];

pub(super) const STATEMENT: &[Parameter] = &[
    MAX_RESULTS,
    CURSOR,
    Parameter {
        name: "format",
        kind: ParameterKind::OneOf(&["json", "csv"]),
        required: false,
        about: "`csv` is a table of all entries from the cursor on.",
    },
];

const OWNER: Parameter = Parameter {
    name: "owner",
    kind: ParameterKind::Text { max_len: UUID_LEN },
    required: false,
    about: "Another account, on which the caller was given a role.",
};

pub(super) const WORKSPACES: &[Parameter] = &[
    MAX_RESULTS,
    CURSOR,
    OWNER,
    Parameter {
        name: "shared",
        kind: ParameterKind::Flag,
        required: false,
        about: "Those of other accounts that the caller was given a role on, instead of its own.",
    },
];

pub(super) const IN_ACCOUNT: &[Parameter] = &[OWNER];

const RESOURCE: Parameter = Parameter {
    name: "resource",
    kind: ParameterKind::Resource,
    required: true,
    about: "`account:<id>`, `workspace:<id>` or `app:<id>`.",
};

pub(super) const OF_RESOURCE: &[Parameter] = &[RESOURCE];

pub(super) const PRINCIPALS: &[Parameter] = &[
    RESOURCE,
    Parameter {
        name: "query",
        kind: ParameterKind::Text { max_len: limits::PRINCIPALS_QUERY_MAX_LEN },
        required: true,
        about: "A whole e-mail address; or how the address, the name or the reference of somebody \
                begins who has a role on the thing.",
    },
    Parameter {
        name: "limit",
        kind: ParameterKind::Number { min: 1, max: limits::PRINCIPALS_MAX, default: 20 },
        required: false,
        about: "Most results.",
    },
];

pub(super) const ROLE_PRESETS: &[Parameter] = &[Parameter {
    name: "scope_kind",
    kind: ParameterKind::OneOf(ScopeKind::WORDS),
    required: false,
    about: "Only those of this kind of thing; all of them when missing.",
}];

pub(super) const FORCE: &[Parameter] = &[Parameter {
    name: "force",
    kind: ParameterKind::Flag,
    required: false,
    about: "Also from a state that does not settle, and past steps that fail.",
}];

const PATH: Parameter = Parameter {
    name: "path",
    kind: ParameterKind::Text { max_len: limits::PATH_MAX_LEN },
    required: true,
    about: "Path in the workspace; a relative one begins in the user's home.",
};

const USER: Parameter = Parameter {
    name: "user",
    kind: ParameterKind::Word { max_len: 32 },
    required: false,
    about: "With whose rights; `developer` when missing.",
};

pub(super) const FILE: &[Parameter] = &[PATH, USER];

pub(super) const FILE_DELETE: &[Parameter] = &[
    PATH,
    USER,
    Parameter {
        name: "recursive",
        kind: ParameterKind::Flag,
        required: false,
        about: "Also a directory that is not empty, with all that is in it.",
    },
];

pub(super) const FILE_WRITE: &[Parameter] = &[
    PATH,
    USER,
    Parameter {
        name: "parents",
        kind: ParameterKind::Flag,
        required: false,
        about: "Makes the directories above it that are missing.",
    },
    Parameter {
        name: "mode",
        kind: ParameterKind::Octal,
        required: false,
        about: "Permissions in octal, such as `0644`; those of the file that is replaced, or \
                `0644`, when missing.",
    },
];

pub(super) const RANGE: &[Parameter] = &[Parameter {
    name: "range",
    kind: ParameterKind::OneOf(WorkspaceMetricsRange::WORDS),
    required: false,
    about: "How far back it goes.",
}];

const LOG_LINES: Parameter = Parameter {
    name: "lines",
    kind: ParameterKind::Number {
        min: 1,
        max: limits::LOG_LINES_MAX,
        default: limits::LOG_LINES_DEFAULT,
    },
    required: false,
    about: "Most lines of this page.",
};

const LOG_DIRECTION: Parameter = Parameter {
    name: "direction",
    kind: ParameterKind::OneOf(&["newest", "oldest"]),
    required: false,
    about: "From which end, or to which side of the cursor.",
};

const LOG_UNIT: Parameter = Parameter {
    name: "unit",
    kind: ParameterKind::Word { max_len: 256 },
    required: false,
    about: "Only lines of this systemd unit.",
};

const LOG_SOURCE: Parameter = Parameter {
    name: "source",
    kind: ParameterKind::OneOf(&["journal", "console"]),
    required: false,
    about: "The guest's journal, or what its kernel and init wrote to the console: that can be \
            read whatever the status, but only from one of its ends.",
};

pub(super) const LOGS: &[Parameter] = &[LOG_LINES, LOG_DIRECTION, LOG_CURSOR, LOG_UNIT, LOG_SOURCE];

pub(super) const SERVICE_LOGS: &[Parameter] = &[LOG_LINES, LOG_DIRECTION, LOG_CURSOR];

const LOG_CURSOR: Parameter = Parameter {
    name: "cursor",
    kind: ParameterKind::Text { max_len: CURSOR_MAX_LEN },
    required: false,
    about: "`cursor` of the page before, or `id` of the last event.",
};

pub(super) const LOG_STREAM: &[Parameter] = &[LOG_CURSOR, LOG_UNIT];

const APP_LOG_SOURCE: Parameter = Parameter {
    name: "source_id",
    kind: ParameterKind::Text { max_len: UUID_LEN },
    required: false,
    about: "One of the app's log sources; the primary one when missing.",
};

pub(super) const APP_LOGS: &[Parameter] = &[LOG_LINES, LOG_DIRECTION, LOG_CURSOR, APP_LOG_SOURCE];

pub(super) const APP_LOG_STREAM: &[Parameter] = &[LOG_CURSOR, APP_LOG_SOURCE];

pub(super) const APP_REQUESTS: &[Parameter] = &[
    Parameter {
        name: "limit",
        kind: ParameterKind::Number {
            min: 1,
            max: limits::APP_REQUESTS_MAX,
            default: limits::APP_REQUESTS_DEFAULT,
        },
        required: false,
        about: "Most requests of the answer, which are the newest.",
    },
    Parameter {
        name: "after",
        kind: ParameterKind::Count,
        required: false,
        about: "`cursor` of an answer before: only requests that ended after those in it.",
    },
];

pub(super) const TERMINAL: &[Parameter] = &[
    Parameter {
        name: "cols",
        kind: ParameterKind::Number { min: 1, max: 1000, default: 80 },
        required: false,
        about: "Columns of the window.",
    },
    Parameter {
        name: "rows",
        kind: ParameterKind::Number { min: 1, max: 1000, default: 24 },
        required: false,
        about: "Rows of the window.",
    },
    Parameter {
        name: "token",
        kind: ParameterKind::Word { max_len: 128 },
        required: false,
        about: "A terminal token, instead of the Authorization header.",
    },
    Parameter {
        name: "session",
        kind: ParameterKind::Word { max_len: 64 },
        required: false,
        about: "A session that was announced before, to attach to it again.",
    },
    Parameter {
        name: "after",
        kind: ParameterKind::Count,
        required: false,
        about: "With a session: how many bytes of its output were seen already.",
    },
];

/// Length of an account's id.
const UUID_LEN: usize = 36;

/// Longest cursor. Systemd's journal cursors are about 130 bytes.
const CURSOR_MAX_LEN: usize = 512;
