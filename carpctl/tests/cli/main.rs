//! carpctl as people and scripts see it: command lines in, text and exit status out.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    reason = "what zbus expects of the fake daemon's methods"
)]

mod called;
mod fake;
mod golden;
mod live;
