//! Accounts cost nothing: floods of entries, of comings and goings, and of blobs by accounts made up on the way.

use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use lichen_record::Entry;

use crate::attacker::Attacker;

/// Connections that flood at the same time.
const CONNECTIONS: usize = 16;

/// Accounts that come and go.
const MEMBERS: usize = 100;

/// Bytes of one blob.
const BLOB: usize = 1024 * 1024;

/// Entries by ever new accounts, as fast as they go.
pub(crate) async fn flood(attacker: Attacker) -> Result<()> {
    join_all((0..CONNECTIONS).map(|_| again(&attacker, flood_once))).await;
    Ok(())
}

/// Joins, leaves and joins again, and never contributes.
pub(crate) async fn rejoin(attacker: Attacker) -> Result<()> {
    join_all((0..MEMBERS).map(|_| again(&attacker, rejoin_once))).await;
    Ok(())
}

/// Blobs that no entry names.
pub(crate) async fn store(attacker: Attacker) -> Result<()> {
    join_all((0..CONNECTIONS).map(|_| again(&attacker, store_once))).await;
    Ok(())
}

/// Does it until the attack ends; a relay that closes the connection is asked anew.
async fn again(attacker: &Attacker, once: impl AsyncFn(&Attacker) -> Result<()>) {
    while attacker.is_on() {
        if once(attacker).await.is_err() {
            attacker.count(false);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn flood_once(attacker: &Attacker) -> Result<()> {
    let (client, mut key) = attacker.client().await?;
    while attacker.is_on() {
        let joined = Entry::Joined { campaign: attacker.campaign, sequence: 1 };
        attacker.count(attacker.append(&client, &key, &joined).await?);
        key = attacker.new_key();
        client.hello(&key).await?;
    }
    Ok(())
}

async fn rejoin_once(attacker: &Attacker) -> Result<()> {
    let (client, key) = attacker.client().await?;
    let campaign = attacker.campaign;
    for sequence in 1.. {
        let entry = match sequence % 2 {
            1 => Entry::Joined { campaign, sequence },
            _ => Entry::Left { campaign, sequence },
        };
        attacker.count(attacker.append(&client, &key, &entry).await?);
        tokio::time::sleep(Duration::from_millis(250)).await;
        if !attacker.is_on() {
            break;
        }
    }
    Ok(())
}

async fn store_once(attacker: &Attacker) -> Result<()> {
    let (client, mut key) = attacker.client().await?;
    for number in 0_u64.. {
        if !attacker.is_on() {
            break;
        }
        // No two blobs are the same.
        let mut bytes = vec![0; BLOB];
        let mark = [key.account().to_string().as_bytes(), &number.to_le_bytes()].concat();
        bytes.iter_mut().zip(mark).for_each(|(to, from)| *to = from);
        let is_stored = attacker.put(&client, bytes).await?.is_none();
        attacker.count(is_stored);
        if !is_stored {
            key = attacker.new_key();
            client.hello(&key).await?;
        }
    }
    Ok(())
}
