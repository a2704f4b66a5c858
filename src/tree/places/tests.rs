//! Places come and go, and are found.

use super::*;

fn path(places: &Places, id: PlaceId) -> String {
    let mut bytes = Vec::new();
    places.append_path(id, &mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_record_is_one_cache_line() {
    assert_eq!(size_of::<Place>(), 64);
}

#[test]
fn a_rename_changes_all_paths_below() {
    let mut places = Places::default();
    let root = places.add(0, 0, NO_PLACE, b"");
    let a = places.add(0, 0, root, b"a");
    let b = places.add(
        0,
        0,
        a,
        b"a name that is longer than the record has room for",
    );
    let c = places.add(0, 0, b, b"c");
    assert_eq!(
        path(&places, c),
        "/a/a name that is longer than the record has room for/c"
    );
    places.unlink(b);
    places.link(b, root, b"b");
    assert_eq!(path(&places, c), "/b/c");
    assert_eq!(places.child(root, b"b"), Some(b));
    assert_eq!(places.children(a).count(), 0);
    assert_eq!(places.depth(c), 2);
    assert_eq!(places.top(c), root);
}

#[test]
fn a_place_is_found_whatever_else_has_come_and_gone() {
    let mut places = Places::default();
    let root = places.add(0, 0, NO_PLACE, b"");
    let ids: Vec<_> = (0..5000)
        .map(|n| places.add(0, 0, root, format!("{n}").as_bytes()))
        .collect();
    for &id in ids.iter().step_by(2) {
        places.unlink(id);
        places.free(id);
    }
    for (n, &id) in ids.iter().enumerate() {
        let expected = (n % 2 == 1).then_some(id);
        assert_eq!(places.child(root, format!("{n}").as_bytes()), expected);
    }
    assert_eq!(places.children(root).count(), 2500);
}

#[test]
fn a_reference_outlives_its_place_safely() {
    let mut places = Places::default();
    let root = places.add(0, 0, NO_PLACE, b"");
    let reference = places.reference(root);
    assert_eq!(places.resolve(reference), Some(root));
    places.free(root);
    assert_eq!(places.add(0, 0, NO_PLACE, b""), root);
    assert_eq!(places.resolve(reference), None);
}

/// Whoever may name entries can't choose names that meet in the index of an instance.
#[test]
#[cfg(not(simulation))]
fn each_instance_has_hashes_of_its_own() {
    let (one, other) = (Places::default(), Places::default());
    let names: Vec<Vec<u8>> = (0..4u8).map(|number| vec![b'a' + number]).collect();
    let hashes = |places: &Places| names.iter().map(|name| places.hash(1, name)).collect();
    let (one, other): (Vec<u32>, Vec<u32>) = (hashes(&one), hashes(&other));
    assert_ne!(one, other);
}
