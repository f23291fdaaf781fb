//! How parts find, trust and reach each other: identity, watch streams, dial.
