//! The newest group of pictures of a track, for viewers who come between two keyframes.

use std::sync::Arc;

use super::frame::Frame;

/// Bytes that are kept; 8 MiB are 16 s at 4 Mb/s. Of a larger group nothing is, as its end is worth
/// nothing without its beginning.
const MAX_BYTES: usize = 8 << 20;

/// A keyframe and what follows it.
#[derive(Debug, Default)]
pub struct Group {
    frames: Vec<Arc<Frame>>,
    bytes: usize,
}

impl Group {
    /// Adds a picture; a keyframe begins anew.
    pub fn add(&mut self, frame: Frame) {
        if frame.keyframe {
            self.clear();
        } else if self.frames.is_empty() {
            return;
        }
        self.bytes += frame.payloads.iter().map(|p| p.len()).sum::<usize>();
        if self.bytes > MAX_BYTES {
            self.clear();
        } else {
            self.frames.push(Arc::new(frame));
        }
    }

    /// Forgets all: a picture is missing, and what follows leans on it.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// All pictures from the keyframe on.
    pub fn frames(&self) -> &[Arc<Frame>] {
        &self.frames
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn picture(timestamp: i64, keyframe: bool, bytes: usize) -> Frame {
        Frame {
            track: 1,
            payloads: vec![Arc::from(vec![1; bytes])],
            timestamp,
            captured: Instant::now(),
            keyframe,
        }
    }

    fn timestamps(group: &Group) -> Vec<i64> {
        group.frames().iter().map(|frame| frame.timestamp).collect()
    }

    #[test]
    fn a_group_begins_with_its_keyframe() {
        let mut group = Group::default();
        for number in 0..8 {
            group.add(picture(number, number % 3 == 2, 9));
        }
        assert_eq!(timestamps(&group), [5, 6, 7]);
        group.clear();
        group.add(picture(9, false, 9));
        assert!(group.frames().is_empty());
    }

    #[test]
    fn a_group_that_is_too_large_is_not_kept() {
        let mut group = Group::default();
        group.add(picture(0, true, 9));
        group.add(picture(1, false, MAX_BYTES));
        group.add(picture(2, false, 9));
        assert!(group.frames().is_empty());
        group.add(picture(3, true, 9));
        assert_eq!(timestamps(&group), [3]);
    }
}
