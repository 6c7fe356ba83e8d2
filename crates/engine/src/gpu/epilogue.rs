//! Activations as WGSL expressions.

use lichen_model::program::Epilogue;

/// An activation of `x: T`, where `T` is `f32` or `vec4f`.
///
/// Arguments are clamped where an implementation may overflow on the way to a finite result.
pub(super) fn expression(activation: Epilogue) -> String {
    match activation {
        Epilogue::None => String::from("x"),
        Epilogue::Relu => String::from("max(x, T())"),
        Epilogue::LeakyRelu(slope) => format!("select(x * {}, x, x > T())", literal(slope)),
        Epilogue::Tanh => String::from("tanh(clamp(x, T(-16.0), T(16.0)))"),
        Epilogue::Sigmoid => String::from("T(1.0) / (T(1.0) + exp(-clamp(x, T(-80.0), T(80.0))))"),
    }
}

/// An activation as a slope below 0, to be applied first, and what is left to do: most activations are a slope and
/// nothing else, so that one kernel does for all of them.
pub(super) fn by_slope(activation: Epilogue) -> (f32, Epilogue) {
    match activation {
        Epilogue::Relu => (0.0, Epilogue::None),
        Epilogue::LeakyRelu(slope) => (slope, Epilogue::None),
        other => (1.0, other),
    }
}

/// A finite number as WGSL text, exact to the bit.
pub(super) fn literal(number: f32) -> String {
    format!("{}f", f64::from(number))
}
