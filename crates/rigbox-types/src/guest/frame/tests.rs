use proptest::prelude::*;

use super::*;

fn frames() -> impl Strategy<Value = Frame> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..2000);
    prop_oneof![
        bytes().prop_map(Frame::Stdin),
        Just(Frame::StdinEnd),
        (any::<u16>(), any::<u16>()).prop_map(|(cols, rows)| Frame::Resize(TtySize { cols, rows })),
        any::<u8>().prop_map(Frame::Signal),
        ("[a-z0-9]{0,12}", any::<u32>())
            .prop_map(|(id, pid)| Frame::Started(ExecStarted { id, pid })),
        any::<u32>().prop_map(Frame::Credit),
        bytes().prop_map(Frame::Stdout),
        bytes().prop_map(Frame::Stderr),
        any::<u64>().prop_map(Frame::Lost),
        (any::<Option<i32>>(), any::<Option<i32>>(), any::<bool>()).prop_map(
            |(exit_code, signal, timed_out)| Frame::Exit(ExecExit { exit_code, signal, timed_out })
        ),
        ".{0,40}".prop_map(Frame::Error),
    ]
}

fn drain(decoder: &mut FrameDecoder) -> Vec<Frame> {
    std::iter::from_fn(|| decoder.next_frame().unwrap()).collect()
}

proptest! {
    #[test]
    fn frames_are_read_back_however_the_bytes_are_cut(
        sent in proptest::collection::vec(frames(), 0..12),
        cut in 1_usize..700,
    ) {
        let mut bytes = Vec::new();
        for frame in &sent {
            frame.encode(&mut bytes);
        }
        let mut decoder = FrameDecoder::default();
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.push(piece);
            read.extend(drain(&mut decoder));
        }
        prop_assert!(decoder.is_empty());
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let mut decoder = FrameDecoder::default();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_frame() {}
    }
}

#[test]
fn long_output_becomes_several_frames() {
    let mut bytes = Vec::new();
    Frame::Stdout(vec![7; FRAME_MAX_BYTES + 1]).encode(&mut bytes);
    let mut decoder = FrameDecoder::default();
    decoder.push(&bytes);
    let lengths: Vec<usize> = drain(&mut decoder)
        .iter()
        .map(|frame| match frame {
            Frame::Stdout(part) => part.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, [FRAME_MAX_BYTES, 1]);
}

#[test]
fn a_malformed_frame_ends_the_stream() {
    let check = |bytes: &[u8], expected: FrameError| {
        let mut decoder = FrameDecoder::default();
        decoder.push(bytes);
        assert_eq!(decoder.next_frame(), Err(expected));
    };
    check(&[18, 0, 1, 0, 1], FrameError::TooLong(65_537));
    check(&[18, 255, 255, 255, 255], FrameError::TooLong(u32::MAX));
    check(&[99, 0, 0, 0, 0], FrameError::UnknownKind(99));
    check(&[3, 0, 0, 0, 1, 7], FrameError::Malformed(3));
    check(&[2, 0, 0, 0, 1, 7], FrameError::Malformed(2));
    check(&[21, 0, 0, 0, 1, b'x'], FrameError::Malformed(21));
}
