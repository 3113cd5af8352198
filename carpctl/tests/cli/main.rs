//! Tests of carpctl as a program: command lines in, text and exit status out.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "zbus requires this form of the fake daemon's methods"
)]

mod fake;
mod golden;
mod live;
mod multicall;
