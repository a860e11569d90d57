//! Digests of values that are stored, or compared between processes and versions.
//!
//! A [`FieldDigest`] hashes a canonical encoding: a context with a version, then named fields, each with its
//! kind and length. It never depends on how a type prints itself, and two different values never share an
//! encoding. A new field, or a new meaning of one, needs a new version in the context.

/// A BLAKE3 digest over named fields. The order of the fields counts.
#[derive(Debug, Clone)]
pub struct FieldDigest(blake3::Hasher);

/// The kind of a field. The numbers are part of the encoding, so they are never reused.
#[derive(Clone, Copy)]
enum FieldKind {
    Bytes = 1,
    Missing = 2,
    Flag = 3,
    List = 4,
    Set = 5,
}

impl FieldDigest {
    /// A digest for one purpose. `context` names the purpose and its version, such as `portero server v1`.
    #[must_use]
    pub fn new(context: &str) -> Self {
        Self(blake3::Hasher::new()).with_context(context)
    }

    /// The same with a key, so that guesses can't be tested without it.
    #[must_use]
    pub fn keyed(key: &[u8; blake3::KEY_LEN], context: &str) -> Self {
        Self(blake3::Hasher::new_keyed(key)).with_context(context)
    }

    fn with_context(mut self, context: &str) -> Self {
        self.put_bytes(context.as_bytes());
        self
    }

    /// Adds bytes or text.
    #[must_use]
    pub fn bytes(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.put_field_header(FieldKind::Bytes, name);
        self.put_bytes(value.as_ref());
        self
    }

    /// Adds an optional value. A missing value differs from an empty one.
    #[must_use]
    pub fn optional(mut self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.bytes(name, value),
            None => {
                self.put_field_header(FieldKind::Missing, name);
                self
            }
        }
    }

    /// Adds a bool.
    #[must_use]
    pub fn flag(mut self, name: &str, value: bool) -> Self {
        self.put_field_header(FieldKind::Flag, name);
        self.0.update(&[u8::from(value)]);
        self
    }

    /// Adds values in order.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<T> = values.into_iter().collect();
        self.put_field_header(FieldKind::List, name);
        self.put_list(&values);
        self
    }

    /// Adds values whose order and repetition don't count.
    #[must_use]
    pub fn set<T: AsRef<[u8]>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut values: Vec<T> = values.into_iter().collect();
        // Sorted by bytes, so that the digest doesn't depend on the order in which a set is iterated.
        values.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        values.dedup_by(|one, other| one.as_ref() == other.as_ref());
        self.put_field_header(FieldKind::Set, name);
        self.put_list(&values);
        self
    }

    /// The digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; blake3::OUT_LEN] {
        *self.0.finalize().as_bytes()
    }

    /// The digest, in hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    fn put_field_header(&mut self, kind: FieldKind, name: &str) {
        self.0.update(&[kind as u8]);
        self.put_bytes(name.as_bytes());
    }

    fn put_list<T: AsRef<[u8]>>(&mut self, values: &[T]) {
        self.0.update(&(values.len() as u64).to_le_bytes());
        for value in values {
            self.put_bytes(value.as_ref());
        }
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::FieldDigest;

    /// One field of each kind, to be put into a digest.
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum TestField {
        Bytes(Vec<u8>),
        Maybe(Option<Vec<u8>>),
        Flag(bool),
        List(Vec<Vec<u8>>),
        Set(std::collections::BTreeSet<Vec<u8>>),
    }

    fn digest(context: &str, fields: &[(String, TestField)]) -> String {
        let start = FieldDigest::new(context);
        let end = fields.iter().fold(start, |digest, (name, field)| match field {
            TestField::Bytes(value) => digest.bytes(name, value),
            TestField::Maybe(value) => digest.optional(name, value.as_ref()),
            TestField::Flag(value) => digest.flag(name, *value),
            TestField::List(values) => digest.list(name, values),
            TestField::Set(values) => digest.set(name, values),
        });
        end.to_hex()
    }

    /// Present bytes are encoded alike, whether they could be missing or not.
    fn normalize_fields(fields: &[(String, TestField)]) -> Vec<(String, TestField)> {
        let plain = |field: &TestField| match field {
            TestField::Bytes(value) => TestField::Maybe(Some(value.clone())),
            other => other.clone(),
        };
        fields.iter().map(|(name, field)| (name.clone(), plain(field))).collect()
    }

    fn any_fields() -> impl Strategy<Value = Vec<(String, TestField)>> {
        let bytes = || prop::collection::vec(0_u8..3, 0..4);
        let field = prop_oneof![
            bytes().prop_map(TestField::Bytes),
            prop::option::of(bytes()).prop_map(TestField::Maybe),
            any::<bool>().prop_map(TestField::Flag),
            prop::collection::vec(bytes(), 0..3).prop_map(TestField::List),
            prop::collection::btree_set(bytes(), 0..3).prop_map(TestField::Set),
        ];
        prop::collection::vec(("[a\\x00]{0,2}", field), 0..4)
    }

    proptest! {
        #[test]
        fn two_values_share_a_digest_only_if_they_are_equal(one in any_fields(), two in any_fields()) {
            prop_assert_eq!(digest("c", &one) == digest("c", &two), normalize_fields(&one) == normalize_fields(&two));
            prop_assert_ne!(digest("c", &one), digest("d", &one));
        }

        #[test]
        fn the_order_of_a_set_does_not_count_and_that_of_a_list_does(
            values in prop::collection::btree_set("[ab]{0,2}", 2..5),
        ) {
            let forth: Vec<_> = values.iter().collect();
            let back: Vec<_> = values.iter().rev().chain(values.first()).collect();
            let set = |values: &[&String]| FieldDigest::new("c").set("s", values.iter().map(|it| it.as_bytes())).to_hex();
            let list = |values: &[&String]| FieldDigest::new("c").list("s", values.iter().map(|it| it.as_bytes())).to_hex();
            prop_assert_eq!(set(&forth), set(&back));
            prop_assert_ne!(list(&forth), list(&back));
        }
    }

    #[test]
    fn the_encoding_is_the_one_that_is_stored() {
        let all = FieldDigest::new("test v1")
            .bytes("b", "text")
            .optional("m", None::<&str>)
            .flag("f", true)
            .list("l", ["one", "two"])
            .set("s", ["two", "one"]);
        assert_eq!(all.to_hex(), "e46927ad6397c3c6e46dbc683e5573f909eaafacb8f35215ec44e406f47ea12b");
        assert_eq!(
            FieldDigest::keyed(&[7; 32], "test v1").to_hex(),
            "6840ef93561e4eb276a65ce236362c7f2ba2ea9ec78f98962a6dff78d2fa97bb"
        );
    }
}
