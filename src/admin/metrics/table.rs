use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;

/// What is counted, by what it is counted for.
///
/// A row that is there is found without a lock, for that happens with every exchange. A new row
/// copies the table, which happens once for each combination of labels: their number is bounded.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    rows: ArcSwap<HashMap<K, Arc<V>>>,
    making: Mutex<()>,
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    /// The row of `key`; one that isn't there yet is made with `make`.
    ///
    /// # Errors
    /// What `make` says.
    pub(super) fn row<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(row) = self.rows.load().get(key) {
            return Ok(row.clone());
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = self.rows.load();
        if let Some(row) = rows.get(key) {
            return Ok(row.clone());
        }
        let row = Arc::new(make()?);
        let mut more = HashMap::clone(&rows);
        more.insert(key.clone(), row.clone());
        self.rows.store(Arc::new(more));
        Ok(row)
    }

    /// All rows that there are now.
    pub(super) fn rows(&self) -> Arc<HashMap<K, Arc<V>>> {
        self.rows.load_full()
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            rows: ArcSwap::from_pointee(HashMap::new()),
            making: Mutex::default(),
        }
    }
}
