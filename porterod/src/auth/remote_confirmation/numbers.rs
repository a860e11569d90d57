//! The numbers of a question; the terminal shows one of them. They never print themselves.

use portero::secret::Secret;

/// The number of choices.
pub const NUMBER_COUNT: usize = 3;

/// The numbers of a question.
pub struct NumberChoices {
    /// Each has two digits, and all differ.
    shown: [u8; NUMBER_COUNT],
    right: usize,
}

impl NumberChoices {
    pub(super) fn generate() -> Self {
        let mut shown = [0; NUMBER_COUNT];
        for place in 0..NUMBER_COUNT {
            let mut number = rand::random_range(10..100);
            // With two equal numbers a person could not tell the right button.
            while shown.contains(&number) {
                number = rand::random_range(10..100);
            }
            shown[place] = number;
        }
        Self { shown, right: rand::random_range(0..NUMBER_COUNT) }
    }

    /// The numbers in the order of the buttons.
    #[must_use]
    pub const fn shown(&self) -> [u8; NUMBER_COUNT] {
        self.shown
    }

    /// The right number, for the terminal that asked.
    #[must_use]
    pub fn right_number(&self) -> Secret {
        Secret::new(self.shown[self.right].to_string())
    }

    #[cfg(test)]
    pub(crate) const fn test(shown: [u8; NUMBER_COUNT], right: usize) -> Self {
        Self { shown, right }
    }

    pub(super) fn is_right(&self, place: u8) -> bool {
        usize::from(place) == self.right
    }
}

impl std::fmt::Debug for NumberChoices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_two_digits_differ_and_the_right_one_stands_anywhere() {
        let mut places = [0; NUMBER_COUNT];
        for _ in 0..300 {
            let numbers = NumberChoices::generate();
            let [one, two, three] = numbers.shown();
            assert!([one, two, three].iter().all(|number| (10..100).contains(number)));
            assert!(one != two && two != three && one != three);
            let right = (0..3).filter(|place| numbers.is_right(*place)).collect::<Vec<_>>();
            assert_eq!(right.len(), 1);
            let place = usize::from(right[0]);
            assert_eq!(numbers.right_number().expose(), numbers.shown()[place].to_string());
            places[place] += 1;
            assert_eq!(format!("{numbers:?}"), "Numbers(…)");
        }
        assert!(places.iter().all(|count| *count > 40), "{places:?}");
    }
}
