//! Attempts of the applet, without a server of its own.
