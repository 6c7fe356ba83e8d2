//! The libp2p /webrtc transport, browser to browser.
