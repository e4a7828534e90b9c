//! The normal distribution, to the last digits of double precision where intervals need it.

use std::f64::consts::{PI, SQRT_2};

/// Beyond this, the distribution function differs from 0 or 1 by less than a double can tell from 1.
const TAIL: f64 = 8.3;

/// The density at `x`.
fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (SQRT_2 * PI.sqrt())
}

/// The distribution function at `x`: 1/2 + density * (x + x^3/3 + x^5/15 + ...), the series of Marsaglia (2004),
/// "Evaluating the normal distribution".
pub(super) fn cumulative(x: f64) -> f64 {
    if x.abs() > TAIL {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    loop {
        odd += 2.0;
        term *= x * x / odd;
        if term.abs() <= 1e-17 * sum.abs() {
            return 0.5 + sum * density(x);
        }
        sum += term;
    }
}

/// The point below which `probability`, inside (0, 1), lies. Newton's method from the centre comes to it from one side
/// only, because the distribution function is concave above the centre.
pub(super) fn quantile(probability: f64) -> f64 {
    if probability < 0.5 {
        return -quantile(1.0 - probability);
    }
    let mut x = 0.0;
    loop {
        let next = x + (probability - cumulative(x)) / density(x);
        if next <= x || next > TAIL {
            return x;
        }
        x = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tables() {
        // Abramowitz & Stegun (1964), table 26.1.
        for (x, probability) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (1.959_963_984_540_054, 0.975),
            (3.0, 0.998_650_101_968_37),
            (4.0, 0.999_968_328_758_167),
        ] {
            assert!((cumulative(x) - probability).abs() < 1e-14, "{x}");
            assert!((cumulative(-x) - (1.0 - probability)).abs() < 1e-14, "-{x}");
            assert!((quantile(probability) - x).abs() < 1e-10, "{probability}");
            assert!((quantile(1.0 - probability) + x).abs() < 1e-10, "1 - {probability}");
        }
    }

    #[test]
    fn the_ends_are_reached() {
        assert_eq!((cumulative(9.0), cumulative(-9.0)), (1.0, 0.0));
        assert!(quantile(f64::MIN_POSITIVE) < -8.0);
    }

    #[test]
    fn each_undoes_the_other() {
        for i in 1..2_000 {
            let probability = f64::from(i) / 2_000.0;
            assert!((cumulative(quantile(probability)) - probability).abs() < 1e-14, "{i}");
        }
    }
}
