//! Numbers of any D-Bus type.

use zbus::Variant;

/// Returns the number in a value of any integer type or a boolean.
#[must_use]
pub fn number(value: &Variant<'_>) -> Option<u64> {
    match value {
        Variant::U8(number) => Some(u64::from(*number)),
        Variant::Bool(yes) => Some(u64::from(*yes)),
        Variant::I16(number) => u64::try_from(*number).ok(),
        Variant::U16(number) => Some(u64::from(*number)),
        Variant::I32(number) => u64::try_from(*number).ok(),
        Variant::U32(number) => Some(u64::from(*number)),
        Variant::I64(number) => u64::try_from(*number).ok(),
        Variant::U64(number) => Some(*number),
        Variant::Variant(inner) => number(inner),
        Variant::F64(_)
        | Variant::Str(_)
        | Variant::Signature(_)
        | Variant::ObjectPath(_)
        | Variant::Array(_)
        | Variant::Dict(_)
        | Variant::Structure(_)
        | Variant::Fd(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_from_any_integer_type() {
        assert_eq!(number(&Variant::from(1u8)), Some(1));
        assert_eq!(number(&Variant::from(true)), Some(1));
        assert_eq!(number(&Variant::from(7i32)), Some(7));
        assert_eq!(number(&Variant::from(-7i64)), None);
        assert_eq!(number(&Variant::from("7")), None);
    }
}
