//! The two codecs, with their contexts kept per thread: making one costs more than compressing a kilobyte.

use std::cell::RefCell;

use zstd::zstd_safe::{self, CCtx, CDict, DCtx, DDict};

/// How the stored bytes of an envelope are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The block format of LZ4: half the gain of zstd, and nothing to load in JavaScript.
    Lz4 = 1,
    /// One frame of zstd.
    Zstd = 2,
}

/// Bytes of scratch memory, and of a context, that a thread keeps between values. Level 1 needs less; what a large
/// value or a high level needed is given back at once.
const KEEP_BYTES: usize = 2 << 20;
/// A block of zstd takes four bytes at least and yields 128 KiB at most: what announces more is no frame.
const ZSTD_MAX_RATIO: usize = (128 << 10) / 4;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// Each byte of LZ4 adds at most 255 bytes to a match.
const LZ4_MAX_RATIO: usize = 255;

/// How zstd is to compress: at a level, or with a dictionary that was prepared for one.
pub(super) enum Zstd<'a> {
    Level(i32),
    Prepared(&'a CDict<'static>),
}

#[derive(Default)]
struct Contexts {
    compress: Option<CCtx<'static>>,
    decompress: Option<DCtx<'static>>,
    scratch: Vec<u8>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// Gives the compressed bytes to `then`, in memory that is used again. `None` if the codec failed.
pub(super) fn compress_lz4<T>(value: &[u8], then: impl FnOnce(&[u8]) -> T) -> Option<T> {
    with_contexts(|contexts| {
        let bound = lz4_flex::block::get_maximum_output_size(value.len());
        let scratch = &mut contexts.scratch;
        if scratch.len() < bound {
            scratch.resize(bound, 0);
        }
        let len = lz4_flex::block::compress_into(value, scratch).ok()?;
        Some(then(&scratch[..len]))
    })
}

/// Gives the compressed bytes to `then`, in memory that is used again. `None` if the codec failed.
pub(super) fn compress_zstd<T>(value: &[u8], how: &Zstd<'_>, then: impl FnOnce(&[u8]) -> T) -> Option<T> {
    with_contexts(|contexts| {
        let mut context = contexts.compress.take().or_else(CCtx::try_create)?;
        let scratch = &mut contexts.scratch;
        scratch.clear();
        scratch.reserve(zstd_safe::compress_bound(value.len()));
        let written = match how {
            Zstd::Level(level) => context.compress(scratch, value, *level),
            Zstd::Prepared(dictionary) => context.compress_using_cdict(scratch, value, dictionary),
        };
        if context.sizeof() <= KEEP_BYTES {
            contexts.compress = Some(context);
        }
        written.ok().map(|_| then(scratch))
    })
}

/// The `value_len` bytes that `stored` holds; `None` if it holds fewer, more, or is broken.
pub(super) fn decompress_lz4(stored: &[u8], value_len: usize) -> Option<Vec<u8>> {
    let mut value = room(value_len, stored.len(), LZ4_MAX_RATIO)?;
    value.resize(value_len, 0);
    (lz4_flex::block::decompress_into(stored, &mut value).ok()? == value_len).then_some(value)
}

/// The `value_len` bytes that `stored` holds; `None` if it holds fewer, more, or is broken.
pub(super) fn decompress_zstd(
    stored: &[u8],
    value_len: usize,
    dictionary: Option<&DDict<'static>>,
) -> Option<Vec<u8>> {
    // One frame, no skippable one, and no second length: the TypeScript reader looks at the same.
    if !stored.starts_with(&ZSTD_MAGIC)
        || zstd_safe::get_frame_content_size(stored).ok()?.is_some_and(|said| said != value_len as u64)
        || zstd_safe::find_frame_compressed_size(stored).ok()? != stored.len()
    {
        return None;
    }
    let mut value = room(value_len, stored.len(), ZSTD_MAX_RATIO)?;
    with_contexts(|contexts| {
        let context = match &mut contexts.decompress {
            Some(context) => context,
            none => none.insert(DCtx::try_create()?),
        };
        // Writes no more than the capacity.
        let written = match dictionary {
            Some(dictionary) => context.decompress_using_ddict(&mut value, stored, dictionary),
            None => context.decompress(&mut value, stored),
        };
        (written.ok()? == value_len).then_some(value)
    })
}

/// Memory for a value, if so few stored bytes can hold it.
fn room(value_len: usize, stored_len: usize, max_ratio: usize) -> Option<Vec<u8>> {
    if value_len > stored_len.saturating_mul(max_ratio) {
        return None;
    }
    let mut room = Vec::new();
    room.try_reserve_exact(value_len).ok()?;
    Some(room)
}

fn with_contexts<T>(work: impl FnOnce(&mut Contexts) -> Option<T>) -> Option<T> {
    // Neither fails but while a thread ends: the caller then stores the value as it is, or misses.
    CONTEXTS
        .try_with(|contexts| {
            let mut contexts = contexts.try_borrow_mut().ok()?;
            let done = work(&mut contexts);
            if contexts.scratch.capacity() > KEEP_BYTES {
                contexts.scratch = Vec::new();
            }
            done
        })
        .ok()
        .flatten()
}
