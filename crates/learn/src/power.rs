//! Powers by multiplication alone, so that everybody finds the same bits.

/// A number from 0 to 1, multiplied with itself so many times.
pub(crate) fn power(mut base: f64, mut times: u64) -> f64 {
    let mut product = 1.0;
    while times > 0 {
        if times & 1 == 1 {
            product *= base;
        }
        base *= base;
        times >>= 1;
    }
    product
}
