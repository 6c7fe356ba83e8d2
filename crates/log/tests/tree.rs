//! Roots, tiles and proofs are those of RFC 6962, as its own words define them and as another implementation has them.
#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use lichen_log::tree::{
    BundleError, EMPTY_ROOT, Edge, Hash, ProofError, RightTiles, TILE_WIDTH, TileKind, TileNodes, TilePath,
    TileSource, bundle, check_consistency, check_inclusion, consistency_proof, hashes_at_level,
    inclusion_proof, leaf_hash, node_hash, tree_root, unbundle,
};
use proptest::prelude::*;

/// The definition in RFC 6962, section 2.1, word for word.
fn slow_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&slow_root(&leaves[..split]), &slow_root(&leaves[split..]))
        }
    }
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
}

/// Every tile that a tree has, full ones and the partial ones at its edge.
#[derive(Clone, Default)]
struct Tiles {
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
    right: RightTiles,
}

impl Tiles {
    fn of(leaves: &[Hash]) -> Self {
        let mut tiles = Self::default();
        for leaf in leaves {
            tiles.append(*leaf);
        }
        tiles
    }

    fn append(&mut self, leaf: Hash) {
        let Self { tiles, right } = self;
        right.append(leaf, |level, index, hashes| {
            tiles.insert((level, index), hashes.to_vec());
        });
        for (level, index, hashes) in right.partial() {
            tiles.insert((level, index), hashes.to_vec());
        }
    }
}

impl TileSource for &Tiles {
    type Error = Infallible;

    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, Infallible> {
        let TileKind::Hashes(level) = path.kind() else { panic!("asked for entries") };
        Ok(self.tiles[&(level, path.index())][..path.width()].concat())
    }
}

/// The same tiles for the other implementation.
struct Theirs<'a>(&'a Tiles);

impl tlog_tiles::TileReader for Theirs<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            self.0.tiles[&(tile.level(), tile.level_index())][..tile.width() as usize].concat()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _tiles: &[tlog_tiles::Tile], _data: &[Vec<u8>]) {}
}

fn theirs(proof: &[Hash]) -> Vec<tlog_tiles::Hash> {
    proof.iter().copied().map(tlog_tiles::Hash).collect()
}

/// Sizes around the places where tiles begin and end, and everything small.
fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![1_usize..40, 250_usize..270, 500_usize..530, 1_usize..1500]
}

#[test]
fn the_first_roots_are_those_that_certificate_transparency_tests_with() {
    // The reference vectors of the Certificate Transparency project: eight leaves and the roots up to each.
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut edge = Edge::default();
    assert_eq!(edge.root(), EMPTY_ROOT);
    for (leaf, root) in leaves.iter().zip(roots) {
        edge.append(leaf_hash(&unhex(leaf)));
        assert_eq!(edge.root().as_slice(), unhex(root));
    }
}

#[test]
fn a_tree_grows_over_several_levels_of_tiles() {
    // More than one full tile of level 1.
    let size = TILE_WIDTH * TILE_WIDTH + 2 * TILE_WIDTH + 3;
    let leaves = leaves(size);
    let (tiles, mut edge) = (Tiles::of(&leaves), Edge::default());
    leaves.iter().for_each(|leaf| edge.append(*leaf));
    let root = slow_root(&leaves);
    let size = size as u64;
    assert_eq!((edge.size(), edge.root()), (size, root));
    let mut nodes = TileNodes::new(&tiles, size);
    assert_eq!(tree_root(&mut nodes, size).unwrap(), root);
    assert_eq!(tree_root(&mut nodes, 65_536).unwrap(), slow_root(&leaves[..65_536]));
    let levels = [0, 1, 2, 3].map(|level| hashes_at_level(size, level));
    assert_eq!(levels, [size, 258, 1, 0]);
    for index in [0, 255, 256, 65_535, 65_536, size - 1] {
        let proof = inclusion_proof(&mut nodes, index, size).unwrap();
        let leaf = leaves[usize::try_from(index).unwrap()];
        assert_eq!(check_inclusion(&leaf, index, size, &proof, &root), Ok(()));
    }
    // What is kept to grow is what was kept, read again.
    let read = |level, index| Ok::<_, Infallible>(tiles.tiles[&(level, index)].clone());
    assert_eq!(RightTiles::load(size, read).unwrap(), tiles.right);
}

#[test]
fn paths_are_those_of_the_specification() {
    let size = 1_234_067 * 256 + 300;
    let path = |kind, index| TilePath::in_tree(kind, index, size).unwrap().to_string();
    assert_eq!(path(TileKind::Hashes(0), 1_234_067), "tile/0/x001/x234/067");
    assert_eq!(path(TileKind::Hashes(0), 1_234_068), "tile/0/x001/x234/068.p/44");
    assert_eq!(path(TileKind::Entries, 1_234_068), "tile/entries/x001/x234/068.p/44");
    assert_eq!(path(TileKind::Hashes(1), 0), "tile/1/000");
    for (level, widths) in [(0, "112"), (1, "17"), (2, "1")] {
        let last = hashes_at_level(70_000, level) / 256;
        let path = TilePath::in_tree(TileKind::Hashes(level), last, 70_000).unwrap();
        assert_eq!(path.width().to_string(), widths, "the example of 70,000 entries");
    }
    assert_eq!(TilePath::in_tree(TileKind::Hashes(1), 1, 256 * 256), None);
    assert_eq!(TilePath::in_tree(TileKind::Hashes(9), 0, u64::MAX), None);
    for foreign in [
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/+0/000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/data/000",
        "tile/0/x099/x999/x999/x999/x999/x999/x999/999",
        "entries/000",
        "tile/0/000/",
    ] {
        assert!(foreign.parse::<TilePath>().is_err(), "{foreign}");
    }
}

#[test]
fn bundles_are_read_as_they_were_written_and_in_no_other_way() {
    let entries: [&[u8]; 3] = [b"first", b"", &[7; 4000]];
    let bytes = bundle(entries.into_iter()).unwrap();
    assert_eq!(bytes[..7], *b"\x00\x05first");
    assert_eq!(unbundle(&bytes, 3).unwrap(), entries);
    assert_eq!(unbundle(&bytes, 2), Err(BundleError::Long(4002)));
    assert_eq!(unbundle(&bytes, 4), Err(BundleError::Short(3)));
    assert_eq!(unbundle(&bytes[..bytes.len() - 1], 3), Err(BundleError::Short(2)));
    assert_eq!(unbundle(&[0xff; 70_000], 1), Err(BundleError::Large(0)));
    let large = vec![0; 70_000];
    assert_eq!(bundle([large.as_slice()].into_iter()), Err(BundleError::Large(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn roots_are_those_of_the_definition(size in sizes(), part in 0.0..1.0_f64) {
        let leaves = leaves(size);
        let tiles = Tiles::of(&leaves);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "any place will do")]
        let shorter = (size as f64 * part) as usize;
        let mut edge = Edge::default();
        leaves[..shorter].iter().for_each(|leaf| edge.append(*leaf));
        prop_assert_eq!(edge.root(), slow_root(&leaves[..shorter]));
        let mut nodes = TileNodes::new(&tiles, size as u64);
        prop_assert_eq!(tree_root(&mut nodes, shorter as u64).unwrap(), slow_root(&leaves[..shorter]));
        prop_assert_eq!(tree_root(&mut nodes, size as u64).unwrap(), slow_root(&leaves));
    }

    #[test]
    fn proofs_of_inclusion_are_those_of_another_implementation(size in sizes(), at in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let (tiles, root, at) = (Tiles::of(&leaves), slow_root(&leaves), at.index(size));
        let (place, size) = (at as u64, size as u64);
        let proof = inclusion_proof(&mut TileNodes::new(&tiles, size), place, size).unwrap();
        let reader = Theirs(&tiles);
        let reader = tlog_tiles::TileHashReader::new(size, tlog_tiles::Hash(root), &reader);
        prop_assert_eq!(&tlog_tiles::prove_record(size, place, &reader).unwrap(), &theirs(&proof));
        prop_assert_eq!(check_inclusion(&leaves[at], place, size, &proof, &root), Ok(()));

        let wrong = leaf_hash(b"wrong");
        prop_assert!(check_inclusion(&wrong, place, size, &proof, &root).is_err());
        prop_assert!(check_inclusion(&leaves[at], place, size, &proof, &wrong).is_err());
        prop_assert!(check_inclusion(&leaves[at], size, size, &proof, &root).is_err());
        let longer = [&proof[..], &[wrong]].concat();
        prop_assert!(check_inclusion(&leaves[at], place, size, &longer, &root).is_err());
        for broken in 0..proof.len() {
            let mut proof = proof.clone();
            proof[broken][3] ^= 1;
            prop_assert_eq!(check_inclusion(&leaves[at], place, size, &proof, &root), Err(ProofError::Root));
            proof.remove(broken);
            prop_assert!(check_inclusion(&leaves[at], place, size, &proof, &root).is_err());
        }
    }

    #[test]
    fn proofs_of_consistency_are_those_of_another_implementation(size in sizes(), at in any::<prop::sample::Index>()) {
        let leaves = leaves(size);
        let tiles = Tiles::of(&leaves);
        let old = at.index(size) + 1;
        let (old_root, new_root) = (slow_root(&leaves[..old]), slow_root(&leaves));
        let (old, new) = (old as u64, size as u64);
        let proof = consistency_proof(&mut TileNodes::new(&tiles, new), old, new).unwrap();
        let reader = Theirs(&tiles);
        let reader = tlog_tiles::TileHashReader::new(new, tlog_tiles::Hash(new_root), &reader);
        prop_assert_eq!(&tlog_tiles::prove_tree(new, old, &reader).unwrap(), &theirs(&proof));
        prop_assert_eq!(check_consistency((old, &old_root), (new, &new_root), &proof), Ok(()));
        let (theirs_new, theirs_old) = (tlog_tiles::Hash(new_root), tlog_tiles::Hash(old_root));
        prop_assert!(tlog_tiles::check_tree(&theirs(&proof), new, theirs_new, old, theirs_old).is_ok());

        let wrong = leaf_hash(b"wrong");
        prop_assert!(check_consistency((old, &wrong), (new, &new_root), &proof).is_err());
        prop_assert!(check_consistency((old, &old_root), (new, &wrong), &proof).is_err());
        prop_assert!(check_consistency((old, &old_root), (new, &new_root), &[&proof[..], &[wrong]].concat()).is_err());
        prop_assert!(old == new || check_consistency((new, &new_root), (old, &old_root), &proof).is_err());
        for broken in 0..proof.len() {
            let mut proof = proof.clone();
            proof[broken][3] ^= 1;
            prop_assert_eq!(
                check_consistency((old, &old_root), (new, &new_root), &proof), Err(ProofError::Root));
            proof.remove(broken);
            prop_assert!(check_consistency((old, &old_root), (new, &new_root), &proof).is_err());
        }
    }

    #[test]
    fn nothing_is_wrong_with_proofs_of_any_length(
        numbers in [any::<u64>(), any::<u64>()],
        proof in prop::collection::vec(any::<Hash>(), 0..70),
    ) {
        let [old, new] = numbers;
        prop_assert!(check_inclusion(&EMPTY_ROOT, old, new, &proof, &EMPTY_ROOT).is_err());
        let _refused = check_consistency((old, &EMPTY_ROOT), (new, &EMPTY_ROOT), &proof);
    }

    #[test]
    fn a_path_is_read_as_it_is_written(level in 0..8_u8, index in any::<u64>(), size in any::<u64>()) {
        for kind in [TileKind::Hashes(level), TileKind::Entries] {
            let index = index % (size / 256 + 2);
            if let Some(path) = TilePath::in_tree(kind, index, size) {
                prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
                prop_assert!(path.is_in_tree(size));
                prop_assert!(path.width() == TILE_WIDTH || !path.is_in_tree(size - size % 256));
            }
        }
    }
}
