//! A typed graph of ONNX operators, differentiated and lowered to a static step program.
