//! The edge between real clients and a real app, with control and the host played by the test.

mod admission;
mod client;
mod control;
mod cost;
mod forward;
mod host;
mod life;
mod limits;
mod raw;
mod routes;
mod tls;
mod upgrade;
mod world;
