//! Many streams over one serial line.
