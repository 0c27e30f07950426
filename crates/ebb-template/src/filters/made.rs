//! Making texts and lists within what a render may still produce.

use std::borrow::Cow;

use ebb_row::Value;

use crate::error::Fault;
use crate::filters::{Call, ITEM, weight};
use crate::limits::{Budget, PRODUCED_BYTES};

/// A text in the making: it is refused before it takes more room than the render may still produce.
pub(super) struct Made<'c> {
    budget: &'c Budget,
    text: String,
}

impl<'c> Made<'c> {
    /// Starts a text with room for `bytes`, if they may be produced.
    pub(super) fn with_room(call: &Call<'c>, bytes: usize) -> Result<Self, Fault> {
        call.budget.afford(bytes)?;
        Ok(Self { budget: call.budget, text: String::with_capacity(bytes) })
    }

    pub(super) fn push_str(&mut self, text: &str) -> Result<(), Fault> {
        self.room_for(text.len())?.push_str(text);
        Ok(())
    }

    /// Returns the text with room for so many more bytes, for those who write themselves.
    pub(super) fn room_for(&mut self, bytes: usize) -> Result<&mut String, Fault> {
        let length = self.text.len();
        let needed = length.saturating_add(bytes);
        if needed > self.text.capacity() {
            self.budget.afford(needed)?;
            // Doubling would go beyond what a render may hold.
            let room = self.text.capacity().saturating_mul(2).min(PRODUCED_BYTES).max(needed);
            self.text.reserve_exact(room - length);
        }
        Ok(&mut self.text)
    }

    /// Returns the text as a value, which is a copy.
    pub(super) fn done<'v>(self) -> Result<Cow<'v, Value>, Fault> {
        self.budget.afford(self.text.len())?;
        Ok(Cow::Owned(Value::from(self.text)))
    }
}

/// Copies items, if they may still be produced with everything in them.
pub(super) fn copies(call: &Call<'_>, items: &[&Value]) -> Result<Vec<Value>, Fault> {
    let mut bytes: usize = 0;
    for item in items {
        bytes = bytes.saturating_add(ITEM + weight(item));
        call.budget.afford(bytes)?;
    }
    Ok(items.iter().map(|item| (*item).clone()).collect())
}

/// Copies a value, if it may still be produced.
pub(super) fn copy(call: &Call<'_>, value: &Value) -> Result<Value, Fault> {
    call.budget.afford(weight(value))?;
    Ok(value.clone())
}
