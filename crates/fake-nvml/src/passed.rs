//! Pointers that C passes in: written to where they are not null and large enough. The only place of this crate that follows a
//! foreign pointer.
//!
//! Every type here is an argument of an exported function and stands for what `nvml.h` asks of the caller: a pointer is null
//! or points to memory for its type (or for as many elements as the caller says) that nobody else touches during the call.
#![expect(unsafe_code, reason = "what C passes are pointers")]

use std::ffi::{CStr, c_char, c_uint};

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use crate::code;

/// Where one value goes.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    pub(crate) fn put(&self, value: T) -> Result<(), nvmlReturn_t> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and then it points to memory for a `T` (see the module's documentation).
        unsafe { self.0.write(value) };
        Ok(())
    }

    /// What the caller has put there: a count, or a structure whose first fields are questions.
    pub(crate) fn get(&self) -> Result<T, nvmlReturn_t> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and then it points to a `T` that the caller has filled in; each `T` that this is called with is made
        // of integers, of which any bytes are one.
        Ok(unsafe { self.0.read() })
    }

    /// Refuses a structure of another version than `version`, as `NVML_STRUCT_VERSION` makes them: the size, and the version in
    /// the highest byte.
    pub(crate) fn expect_version(&self, version: u32) -> Result<(), nvmlReturn_t> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null; each structure that has a version begins with it.
        let said = unsafe { self.0.cast::<c_uint>().read() };
        let size = u32::try_from(size_of::<T>()).map_err(|_| code::UNKNOWN)?;
        if said == size | (version << 24) { Ok(()) } else { Err(code::ARGUMENT_VERSION_MISMATCH) }
    }
}

/// Where a text goes, with its final zero.
#[repr(transparent)]
pub(crate) struct OutText(*mut c_char);

impl OutText {
    /// `INSUFFICIENT_SIZE` where `text` with its zero is longer than `length`.
    pub(crate) fn put(&self, text: &str, length: c_uint) -> Result<(), nvmlReturn_t> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        let length = usize::try_from(length).map_err(|_| code::INVALID_ARGUMENT)?;
        if text.len() >= length {
            return Err(code::INSUFFICIENT_SIZE);
        }
        // SAFETY: not null, and then it points to `length` bytes, which the text and its zero do not exceed.
        unsafe {
            self.0.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
            self.0.add(text.len()).write(0);
        }
        Ok(())
    }
}

/// Where a list goes.
#[repr(transparent)]
pub(crate) struct OutList<T>(*mut T);

impl<T: Copy> OutList<T> {
    /// NVML's way of lists: `count` holds how many fit, and is told how many there are. `INSUFFICIENT_SIZE` where they are more.
    pub(crate) fn put(&self, count: &Out<c_uint>, values: &[T]) -> Result<(), nvmlReturn_t> {
        let room = usize::try_from(count.get()?).map_err(|_| code::INVALID_ARGUMENT)?;
        count.put(c_uint::try_from(values.len()).map_err(|_| code::UNKNOWN)?)?;
        if values.len() > room {
            return Err(code::INSUFFICIENT_SIZE);
        }
        if values.is_empty() {
            return Ok(());
        }
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and then it points to `room` elements, which the values do not exceed.
        unsafe { self.0.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Ok(())
    }

    /// Answers each of `count` elements in its place.
    pub(crate) fn answer_each(&self, count: usize, answer: impl Fn(&mut T)) -> Result<(), nvmlReturn_t> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        for at in 0..count {
            // SAFETY: not null, and then it points to `count` elements that the caller has filled in.
            answer(unsafe { &mut *self.0.add(at) });
        }
        Ok(())
    }
}

/// A text of the caller's.
#[repr(transparent)]
pub(crate) struct InText(*const c_char);

impl InText {
    pub(crate) fn get(&self) -> Result<String, nvmlReturn_t> {
        if self.0.is_null() {
            return Err(code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and then it points to a text that ends with a zero.
        let text = unsafe { CStr::from_ptr(self.0) };
        text.to_str().map(str::to_owned).map_err(|_| code::INVALID_ARGUMENT)
    }
}
