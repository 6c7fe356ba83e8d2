//! Two tabs of one browser: how long they take to connect through our relay, and how fast they are then, beside a bare
//! data channel between the same two windows.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lichen_testkit::{Browser, BrowserOptions, Page, RelayOptions, RelayProcess, http};
use serde_json::Value;

use crate::setup::Toolchain;
use crate::test::interop::rust_peer;
use crate::{build, say, workspace};

/// Connections made, and transfers of each kind.
const CONNECTIONS: usize = 20;
const TRANSFERS: usize = 15;

/// Bytes of one transfer; below what a receiver may leave unread.
const BYTES: u64 = 12_000_000;

const LIMIT: Duration = Duration::from_secs(60);

const DOCUMENT: &str = "<!doctype html><title>Peer</title><script type=module src=bench.js></script>";
const SCRIPT: &str =
    "import init, * as peer from './lichen_interop.js'; await init(); globalThis.peer = peer;";

/// A bare pair: both ends wait for all their candidates, so that two descriptions are all there is to exchange.
const BARE: &str = r"(() => {
    const gathered = pc => new Promise(done => {
        const look = () => pc.iceGatheringState === 'complete' && done(JSON.stringify(pc.localDescription));
        pc.onicegatheringstatechange = look;
        look();
    });
    const pc = globalThis.bare = new RTCPeerConnection();
    globalThis.bareOffer = async () => {
        globalThis.channel = pc.createDataChannel('');
        await pc.setLocalDescription();
        return gathered(pc);
    };
    globalThis.bareAnswer = async offer => {
        pc.ondatachannel = ({ channel }) => {
            channel.binaryType = 'arraybuffer';
            let left = 0;
            channel.onmessage = ({ data }) => {
                if (typeof data === 'string') { left = Number(data); return; }
                left -= data.byteLength;
                if (left <= 0) channel.send('.');
            };
        };
        await pc.setRemoteDescription(JSON.parse(offer));
        await pc.setLocalDescription();
        return gathered(pc);
    };
    globalThis.bareAccept = async answer => {
        await pc.setRemoteDescription(JSON.parse(answer));
        if (channel.readyState !== 'open') await new Promise(open => { channel.onopen = open; });
        return true;
    };
    globalThis.bareSend = async bytes => {
        const message = new Uint8Array(16 * 1024).fill(7);
        channel.bufferedAmountLowThreshold = 512 * 1024;
        const all = new Promise(done => { channel.onmessage = done; });
        const began = performance.now();
        channel.send(String(bytes));
        for (let sent = 0; sent < bytes; sent += message.length) {
            if (channel.bufferedAmount >= 1024 * 1024)
                await new Promise(low => { channel.onbufferedamountlow = low; });
            channel.send(message.subarray(0, Math.min(message.length, bytes - sent)));
        }
        await all;
        return performance.now() - began;
    };
    return true;
})()";

/// The `bench webrtc` command.
pub(super) fn webrtc(toolchain: &Toolchain, mut arguments: lexopt::Parser) -> Result<ExitCode> {
    if let Some(argument) = arguments.next()? {
        return Err(argument.unexpected().into());
    }
    let folder = workspace::target().join("bench-webrtc");
    fs::create_dir_all(&folder).context("making the benchmark's folder")?;
    rust_peer(toolchain, &folder)?;
    fs::write(folder.join("index.html"), DOCUMENT)?;
    fs::write(folder.join("bench.js"), SCRIPT)?;
    let programs = build::programs(toolchain, &workspace::dist())?;
    let data = folder.join("data");
    // Of an earlier run, if there was one.
    let _fresh = fs::remove_dir_all(&data);
    let relay = RelayProcess::start(RelayOptions {
        program: programs.relay,
        port: http::free_port()?,
        data,
        page: Some(folder.clone()),
        campaign: None,
        log: Some(folder.join("relay.log")),
    })?;
    let facts: Value = serde_json::from_slice(&relay.get("lichen.json")?.body)?;
    let address = facts.get("address").and_then(Value::as_str).context("the relay names no address")?;
    let browser = Browser::launch(&BrowserOptions::default())?;
    let (near, far) = (Window::open(&browser, &relay, address)?, Window::open(&browser, &relay, address)?);
    let connections = connections(&near, &far)?;
    println!("connecting, {CONNECTIONS} times: {} ms", spread(&connections));
    transfers(&near, &far)?;
    Ok(ExitCode::SUCCESS)
}

/// One window with a peer in it.
struct Window {
    page: Page,
    id: String,
}

impl Window {
    fn open(browser: &Browser, relay: &RelayProcess, address: &str) -> Result<Self> {
        let page = browser.new_context()?.new_page()?;
        page.navigate(&relay.url())?;
        page.wait_for("the peer's script", "globalThis.peer !== undefined", LIMIT)?;
        let id = page.evaluate(&format!("peer.start({address:?})"))?;
        page.wait_for("a reservation", "Promise.resolve(peer.address())", LIMIT)?;
        page.evaluate(BARE)?;
        Ok(Self { page, id: id.as_str().context("no peer id")?.to_owned() })
    }

    /// Milliseconds that a call took by its own account.
    fn measure(&self, call: &str) -> Result<f64> {
        self.page.evaluate(call)?.as_f64().with_context(|| format!("{call} gives no number"))
    }

    fn text(&self, call: &str) -> Result<String> {
        Ok(self.page.evaluate(call)?.to_string())
    }

    /// Waits until the other is connected in no way.
    fn wait_until_alone(&self, other: &Self) -> Result<()> {
        self.wait_for("the end of all connections", other, "all.length === 0")
    }

    /// Waits until the circuit is closed, so that streams can only go directly.
    fn wait_until_direct(&self, other: &Self) -> Result<()> {
        let direct = "all.length > 0 && all.every(one => one.includes('/webrtc'))";
        self.wait_for("the direct connection alone", other, direct)
    }

    fn wait_for(&self, what: &str, other: &Self, condition: &str) -> Result<()> {
        let holds = format!("Promise.resolve(peer.connections({:?})).then(all => {condition})", other.id);
        self.page.wait_for(what, &holds, LIMIT)?;
        Ok(())
    }
}

fn connections(near: &Window, far: &Window) -> Result<Vec<f64>> {
    say::note("connecting and disconnecting");
    let address = far.text("Promise.resolve(peer.address())")?;
    let mut times = Vec::new();
    for _ in 0..CONNECTIONS {
        times.push(near.measure(&format!("peer.connect({address})"))?);
        near.page.evaluate(&format!("peer.disconnect({:?})", far.id))?;
        near.wait_until_alone(far)?;
        far.wait_until_alone(near)?;
    }
    near.measure(&format!("peer.connect({address})"))?;
    near.wait_until_direct(far)?;
    far.wait_until_direct(near)?;
    Ok(times)
}

/// Both kinds in turn, now one first and now the other, so that a busy moment of the machine meets both.
fn transfers(near: &Window, far: &Window) -> Result<()> {
    say::note("moving bytes");
    let offer = near.text("bareOffer()")?;
    let answer = far.text(&format!("bareAnswer({offer})"))?;
    near.page.evaluate(&format!("bareAccept({answer})"))?;
    let one_of_ours = || near.measure(&format!("peer.sends({:?}, {BYTES})", far.id)).map(rate);
    let one_bare = || near.measure(&format!("bareSend({BYTES})")).map(rate);
    let (mut ours, mut bare, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TRANSFERS {
        let (of_ours, of_bare) = if turn % 2 == 0 {
            (one_of_ours()?, one_bare()?)
        } else {
            let of_bare = one_bare()?;
            (one_of_ours()?, of_bare)
        };
        ours.push(of_ours);
        bare.push(of_bare);
        shares.push(100.0 * of_ours / of_bare);
    }
    println!("a stream of ours, {TRANSFERS} times {BYTES} bytes: {} MB/s", spread(&ours));
    println!("a bare data channel, in turn with it:    {} MB/s", spread(&bare));
    println!("ours / bare, by pairs: {} %", spread(&shares));
    Ok(())
}

/// Megabytes a second.
fn rate(ms: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let bytes = BYTES as f64;
    bytes / 1000.0 / ms
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median, and what lies outside of it.
fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("median {:.1} ({least:.1} to {most:.1})", median(values))
}
