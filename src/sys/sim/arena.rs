//! Objects that are known by a small number. Numbers are used again in a fixed order, so that equal runs are equal.

use std::ops::{Index, IndexMut};

#[derive(Clone, Debug)]
pub(super) struct Arena<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Arena<T> {
    pub(super) fn new() -> Arena<T> {
        Arena {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.free.clear();
    }

    pub(super) fn add(&mut self, object: T) -> u32 {
        match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = Some(object);
                number
            }
            None => {
                self.slots.push(Some(object));
                self.slots.len() as u32 - 1
            }
        }
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let object = self.slots.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(object)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = (0..).zip(&self.slots);
        numbered.filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;
    fn index(&self, number: u32) -> &T {
        self.get(number).expect("the object is alive")
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        self.get_mut(number).expect("the object is alive")
    }
}
