//! A map that is cheap to copy and to change: an array of small maps, shared until written to.
//! Invariant: a copy never sees a later change. A change to a map that has copies copies the array
//! (1,024 pointers) and one small map, so its cost is nearly independent of the number of entries;
//! a look-up costs one hash more than a plain map.

use std::{
    borrow::Borrow,
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher as _, Hash},
    sync::Arc,
};

/// At 100,000 entries each small map has about 100.
const SHARDS: usize = 1_024;

type Small<K, V> = HashMap<K, V, RandomState>;

pub(crate) struct Shards<K, V> {
    hasher: RandomState,
    shards: Arc<Vec<Arc<Small<K, V>>>>,
    len: usize,
}

impl<K, V> Clone for Shards<K, V> {
    fn clone(&self) -> Self {
        Self { hasher: self.hasher.clone(), shards: self.shards.clone(), len: self.len }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Default for Shards<K, V> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let empty = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self { hasher, shards: Arc::new(vec![empty; SHARDS]), len: 0 }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.shards.get(self.place(key))?.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let place = self.place(&key);
        let shard = Arc::make_mut(&mut self.shards).get_mut(place)?;
        let old = Arc::make_mut(shard).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // What is not there must not cost a copy.
        self.get(key)?;
        let place = self.place(key);
        let shard = Arc::make_mut(&mut self.shards).get_mut(place)?;
        let old = Arc::make_mut(shard).remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // The low bits: SHARDS is a power of two. The small maps use the high ones first.
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits are wanted")]
        let low = self.hasher.hash_one(key) as usize;
        low & (SHARDS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_see_a_later_change() {
        let mut map = Shards::default();
        for key in 0..5_000_u32 {
            map.insert(key, key);
        }
        let before = map.clone();
        map.insert(7, 8);
        map.remove(&9);
        map.insert(9_000, 1);
        assert_eq!(
            (before.get(&7), before.get(&9), before.get(&9_000)),
            (Some(&7), Some(&9), None)
        );
        assert_eq!((map.get(&7), map.get(&9), map.get(&9_000)), (Some(&8), None, Some(&1)));
        assert_eq!((before.len(), map.len(), map.values().count()), (5_000, 5_000, 5_000));
    }
}
