//! Captures as tcpdump(8) writes them: classic pcap, little-endian, microseconds, Ethernet.

use std::time::Duration;

/// Frames of a capture, with their times after the first.
pub(crate) fn frames(capture: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    let (header, mut rest) = capture.split_first_chunk::<24>().unwrap();
    assert_eq!(header[..4], [0xd4, 0xc3, 0xb2, 0xa1], "magic");
    assert_eq!(header[20..], [1, 0, 0, 0], "link type");
    let mut frames: Vec<(Duration, Vec<u8>)> = Vec::new();
    while let Some((record, after)) = rest.split_first_chunk::<16>() {
        let (words, []) = record.as_chunks::<4>() else {
            panic!("16 bytes are 4 words")
        };
        let [seconds, micros, captured, length] = [0, 1, 2, 3].map(|at| word(words[at]));
        assert_eq!(captured, length, "a frame that was cut");
        let at = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into());
        let (frame, after) = after.split_at(usize::try_from(captured).unwrap());
        frames.push((at, frame.to_vec()));
        rest = after;
    }
    let first = frames[0].0;
    for (at, _) in &mut frames {
        *at -= first;
    }
    frames
}

fn word(bytes: [u8; 4]) -> u32 {
    u32::from_le_bytes(bytes)
}
