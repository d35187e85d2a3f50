//! The functions of `nvml.h` that the library has, by what they are about.
#![expect(unsafe_code, reason = "a name without mangling is what the library is for")]

/// Exports functions, each of which answers unless the script says otherwise.
macro_rules! symbols {
    ($(fn $name:ident($call:ident $(, $arg:ident: $type:ty)* $(,)?) $body:block)+) => {$(
        // SAFETY: nothing else of this name is linked beside it: programs that have the real library do not load this one.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $type),*) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
            $crate::library::answer(stringify!($name), |$call| $body)
        }
    )+};
}

mod events;
mod identity;
mod links;
mod memory;
mod mig;
mod processes;
mod sensors;
mod system;
