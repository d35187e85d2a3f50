//! GPUs on the command line.

/// GPUs, in bytes each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gpus(pub(crate) Vec<u64>);

/// More than anybody simulates; what is beyond is a slip of the keyboard.
const MOST_GPUS: usize = 1_024;

/// Reads COUNTxMIB, several with commas between.
pub(crate) fn gpus(text: &str) -> Result<Gpus, String> {
    let expected =
        || format!("expected GPUs as COUNTxMIB, for example 4x24576 or 2x24576,1x81920, got `{text}`");
    let mut all = Vec::new();
    for part in text.split(',') {
        let (count, mib) = part.trim().split_once('x').ok_or_else(expected)?;
        let count: usize = count.parse().map_err(|_| expected())?;
        let mib: u64 = mib.parse().map_err(|_| expected())?;
        if count == 0 || mib == 0 || mib > 1 << 30 {
            return Err(expected());
        }
        if all.len().saturating_add(count) > MOST_GPUS {
            return Err(format!("expected at most {MOST_GPUS} GPUs, got `{text}`"));
        }
        all.extend(std::iter::repeat_n(mib << 20, count));
    }
    Ok(Gpus(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_and_mixed() {
        assert_eq!(gpus("2x1, 1x2"), Ok(Gpus(vec![1 << 20, 1 << 20, 2 << 20])));
    }

    #[test]
    fn what_is_no_gpu_is_refused_with_an_example() {
        for text in ["", "4", "x", "0x1", "1x0", "-1x5", "1x24576,", "1x99999999999"] {
            assert!(gpus(text).is_err_and(|error| error.contains("4x24576")), "{text}");
        }
        assert!(gpus("9999x1").is_err_and(|error| error.contains("1024")));
    }
}
