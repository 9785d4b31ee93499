//! Parses the raw bytes of BTF: types by name, and fields of structures.

/// Why the BTF cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Not BTF, truncated, or of an unknown form.
    #[error("malformed BTF: {0}")]
    Malformed(&'static str),
    /// A field that the accounting needs does not exist.
    #[error("struct {structure} has no field {field}")]
    NoField {
        /// The structure.
        structure: &'static str,
        /// The field.
        field: &'static str,
    },
}

pub(super) const MAGIC: u16 = 0xeb9f;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const FUNCTION: u32 = 12;
pub(super) const FUNCTION_TYPE: u32 = 13;

/// The offset of each type's record; index 0 is `void`. The kinds that are searched by name are a small part and have
/// their own lists.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    pub(super) records: Vec<usize>,
    structures: Vec<usize>,
    typedefs: Vec<usize>,
}

/// `struct btf_type`, and the offset of what follows it.
pub(super) struct Record {
    pub(super) name: u32,
    pub(super) info: u32,
    body: usize,
}

impl Record {
    pub(super) fn kind(&self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn length(&self) -> usize {
        self.info as usize & 0xffff
    }

    /// Whether members carry a bit-field size in the upper byte of their offset.
    fn has_bit_fields(&self) -> bool {
        self.info >> 31 == 1
    }
}

impl<'a> Btf<'a> {
    pub(super) fn parse(raw: &'a [u8]) -> Result<Self, BtfError> {
        let short = BtfError::Malformed("the header is cut short");
        let header = raw.get(..24).ok_or(short)?;
        if u16::from_ne_bytes([header[0], header[1]]) != MAGIC {
            return Err(BtfError::Malformed("the magic number is another"));
        }
        let word = |at| word(header, at).ok_or(BtfError::Malformed("the header is cut short"));
        let start = word(4)? as usize;
        let section = |offset: u32, length: u32| {
            let from = start.checked_add(offset as usize)?;
            raw.get(from..from.checked_add(length as usize)?)
        };
        let cut = BtfError::Malformed("a section is cut short");
        let types = section(word(8)?, word(12)?).ok_or(cut)?;
        let strings =
            section(word(16)?, word(20)?).ok_or(BtfError::Malformed("a section is cut short"))?;

        let mut btf = Self {
            types,
            strings,
            records: vec![0],
            structures: Vec::new(),
            typedefs: Vec::new(),
        };
        let mut at = 0;
        while at < types.len() {
            let record = btf.record(at)?;
            btf.records.push(at);
            match record.kind() {
                STRUCT => btf.structures.push(at),
                TYPEDEF => btf.typedefs.push(at),
                _ => {}
            }
            at = record.body
                + match record.kind() {
                    // INT, VAR, DECL_TAG
                    1 | 14 | 17 => 4,
                    // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
                    2 | 7..=12 | 16 | 18 => 0,
                    // ARRAY
                    3 => 12,
                    // STRUCT, UNION, DATASEC, ENUM64
                    STRUCT | UNION | 15 | 19 => 12 * record.length(),
                    // ENUM, FUNC_PROTO
                    6 | 13 => 8 * record.length(),
                    _ => return Err(BtfError::Malformed("a kind of type that is not known")),
                };
        }
        Ok(btf)
    }

    pub(super) fn record(&self, at: usize) -> Result<Record, BtfError> {
        let cut = || BtfError::Malformed("a type is cut short");
        let name = word(self.types, at).ok_or_else(cut)?;
        let info = word(self.types, at + 4).ok_or_else(cut)?;
        Ok(Record {
            name,
            info,
            body: at + 12,
        })
    }

    /// The string at an offset; empty if there is none.
    pub(super) fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0);
        &rest[..end.unwrap_or(0)]
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let Some(rest) = self.strings.get(offset as usize..) else {
            return false;
        };
        rest.strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    pub(super) fn has_typedef(&self, name: &str) -> Result<bool, BtfError> {
        for &at in &self.typedefs {
            if self.is_named(self.record(at)?.name, name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn has_structure(&self, name: &str) -> Result<bool, BtfError> {
        for &at in &self.structures {
            if self.is_named(self.record(at)?.name, name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many parameters a function has; `None` if it does not exist.
    pub(super) fn parameters(&self, name: &str) -> Result<Option<u32>, BtfError> {
        for &at in &self.records[1..] {
            let record = self.record(at)?;
            if record.kind() != FUNCTION || !self.is_named(record.name, name) {
                continue;
            }
            let cut = || BtfError::Malformed("a function is cut short");
            // The word that is a structure's size is a function's type.
            let type_id = word(self.types, at + 8).ok_or_else(cut)?;
            let place = self.records.get(type_id as usize).ok_or_else(cut)?;
            let kind = self.record(*place)?;
            if kind.kind() == FUNCTION_TYPE {
                return Ok(u32::try_from(kind.length()).ok());
            }
        }
        Ok(None)
    }

    /// Byte offset of a member, also inside anonymous structures and unions.
    pub(super) fn offset(
        &self,
        structure: &'static str,
        field: &'static str,
    ) -> Result<u32, BtfError> {
        // Valid data needs about one look per member. Bad data can nest a structure in itself.
        let mut looks = self.types.len();
        for &at in &self.structures {
            let record = self.record(at)?;
            if self.is_named(record.name, structure)
                && let Some(bits) = self.bits_of(&record, field, 0, &mut looks)?
            {
                return Ok(bits / 8);
            }
        }
        Err(BtfError::NoField { structure, field })
    }

    fn bits_of(
        &self,
        record: &Record,
        field: &str,
        depth: u32,
        looks: &mut usize,
    ) -> Result<Option<u32>, BtfError> {
        let cut = || BtfError::Malformed("a member is cut short");
        for index in 0..record.length() {
            let endless = BtfError::Malformed("a structure is inside itself");
            *looks = looks.checked_sub(1).ok_or(endless)?;
            let member = record.body + 12 * index;
            let name = word(self.types, member).ok_or_else(cut)?;
            let type_id = word(self.types, member + 4).ok_or_else(cut)?;
            let mut bits = word(self.types, member + 8).ok_or_else(cut)?;
            if record.has_bit_fields() {
                bits &= 0x00ff_ffff;
            }
            if self.is_named(name, field) {
                return Ok(Some(bits));
            }
            // The kernel nests anonymous members a few levels deep; the bound stops loops in bad data.
            if name == 0 && depth < 8 {
                let at = self.records.get(type_id as usize).ok_or_else(cut)?;
                let inner = self.record(*at)?;
                if matches!(inner.kind(), STRUCT | UNION)
                    && let Some(inner_bits) = self.bits_of(&inner, field, depth + 1, looks)?
                {
                    let far = BtfError::Malformed("a member lies too far");
                    return bits.checked_add(inner_bits).map(Some).ok_or(far);
                }
            }
        }
        Ok(None)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
pub(super) mod tests {

    use super::*;

    fn length(bytes: &[u8]) -> u32 {
        u32::try_from(bytes.len()).unwrap()
    }

    /// BTF of `struct outer { int a; struct { int : 0 bits…; int b; }; }` in the kernel's encoding.
    pub(crate) fn fixture() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0int\0word\0call\0";
        let name = |text: &str| {
            let needle = [b"\0", text.as_bytes(), b"\0"].concat();
            strings
                .windows(needle.len())
                .position(|window| window == needle)
                .map(|at| u32::try_from(at).unwrap())
                .unwrap()
                + 1
        };
        let mut types = Vec::new();
        let mut push = |words: &[u32]| {
            for word in words {
                types.extend(word.to_ne_bytes());
            }
        };
        push(&[name("int"), 1 << 24, 4, 32]); // 1: int
        push(&[0, 4 << 24 | 1, 4, name("b"), 1, 32]); // 2: struct { b at bit 32 }
        push(&[
            name("outer"),
            1 << 31 | 4 << 24 | 2,
            12,
            name("a"),
            1,
            8 << 24,
            0,
            2,
            64,
        ]); // 3
        push(&[name("word"), TYPEDEF << 24, 1]); // 4: typedef int word
        push(&[0, FUNCTION_TYPE << 24 | 2, 1, name("a"), 1, name("b"), 4]); // 5: int (int a, word b)
        push(&[name("call"), FUNCTION << 24, 5]); // 6: call, of type 5
        let mut raw = Vec::new();
        raw.extend(MAGIC.to_ne_bytes());
        raw.extend([1, 0]);
        for word in [24, 0, length(&types), length(&types), length(strings)] {
            raw.extend(word.to_ne_bytes());
        }
        raw.extend(types);
        raw.extend(strings);
        raw
    }

    #[test]
    fn finds_members_also_in_anonymous_structures_and_past_bit_fields() {
        let raw = fixture();
        let btf = Btf::parse(&raw).unwrap();
        assert_eq!(btf.offset("outer", "a"), Ok(0));
        assert_eq!(btf.offset("outer", "b"), Ok(12));
        assert_eq!(
            btf.offset("outer", "c"),
            Err(BtfError::NoField {
                structure: "outer",
                field: "c"
            })
        );
    }

    #[test]
    fn finds_typedefs_and_functions_and_takes_nothing_else_for_one() {
        let raw = fixture();
        let btf = Btf::parse(&raw).unwrap();
        let found = ["word", "outer", "wor"].map(|name| btf.has_typedef(name));
        assert_eq!(found, [Ok(true), Ok(false), Ok(false)]);
        let found = ["outer", "word", "oute"].map(|name| btf.has_structure(name));
        assert_eq!(found, [Ok(true), Ok(false), Ok(false)]);
        let parameters = ["call", "word"].map(|name| btf.parameters(name));
        assert_eq!(parameters, [Ok(Some(2)), Ok(None)]);
    }

    /// BTF of a structure `a` with `members` unnamed members of type `of`, all at `bits`.
    fn nested(members: u32, of: u32, bits: u32) -> Vec<u8> {
        let strings = b"\0a\0b\0";
        let mut types = vec![1, STRUCT << 24 | members, 0];
        types.extend([0, of, bits].repeat(members as usize));
        types.extend([0, STRUCT << 24 | 1, 0, 3, 1, bits]);
        let size = 4 * u32::try_from(types.len()).unwrap();
        let mut raw = MAGIC.to_ne_bytes().to_vec();
        raw.extend([1, 0]);
        for word in [24, 0, size, size, length(strings)].iter().chain(&types) {
            raw.extend(word.to_ne_bytes());
        }
        raw.extend(strings);
        raw
    }

    #[test]
    fn a_structure_inside_itself_is_refused_and_not_followed_for_ever() {
        // Eight levels of 500 members each would take years.
        let raw = nested(500, 1, 0);
        let found = Btf::parse(&raw).unwrap().offset("a", "b");
        assert_eq!(
            found,
            Err(BtfError::Malformed("a structure is inside itself"))
        );
    }

    #[test]
    fn a_member_beyond_all_memory_is_refused() {
        let raw = nested(1, 2, 1 << 31);
        let found = Btf::parse(&raw).unwrap().offset("a", "b");
        assert_eq!(found, Err(BtfError::Malformed("a member lies too far")));
        let raw = nested(1, 2, 64);
        assert_eq!(Btf::parse(&raw).unwrap().offset("a", "b"), Ok(16));
    }
}
