//! What can be told of a component before it is compiled, from its outermost sections alone.

use crate::error::LoadErrorKind;

const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a core module and of a component.
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
const CORE_MODULE: [u8; 4] = [0x01, 0x00, 0x00, 0x00];
const COMPONENT: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];

/// Tells what is not a component, and one that is cut off, for what it is; the compiler's words on these would be of
/// no help.
pub(crate) fn look_at(bytes: &[u8]) -> Result<(), LoadErrorKind> {
    let truncated = LoadErrorKind::Truncated { bytes: bytes.len() };
    let Some((magic, rest)) = bytes.split_at_checked(4) else {
        let begun = !bytes.is_empty() && MAGIC.starts_with(bytes);
        return Err(if begun { truncated } else { LoadErrorKind::NotWasm });
    };
    if magic != MAGIC {
        return Err(LoadErrorKind::NotWasm);
    }
    let Some((version, mut sections)) = rest.split_first_chunk::<4>() else { return Err(truncated) };
    if *version == CORE_MODULE {
        return Err(LoadErrorKind::CoreModule);
    }
    if *version != COMPONENT {
        return Err(LoadErrorKind::Invalid(format!("unknown version {version:02x?} of the binary format")));
    }
    while let Some((_id, rest)) = sections.split_first() {
        let body = leb128(rest).and_then(|(length, rest)| rest.get(usize::try_from(length).ok()?..));
        sections = body.ok_or(LoadErrorKind::Truncated { bytes: bytes.len() })?;
    }
    Ok(())
}

/// An unsigned number of up to 32 bits, seven to a byte, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut number = 0_u32;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        number |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return bytes.get(index + 1..).map(|rest| (number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_component_that_breaks_a_section_is_told() {
        let whole = wat::parse_str(r#"(component (core module) (import "a" (func)))"#).unwrap();
        look_at(&whole).unwrap();
        let told = (1..whole.len())
            .filter(|cut| {
                matches!(look_at(&whole[..*cut]), Err(LoadErrorKind::Truncated { bytes }) if bytes == *cut)
            })
            .count();
        // Between two sections a cut leaves something whole; the exports are missing then.
        assert!(told > whole.len() - 6, "{told} of {}", whole.len());
    }

    #[test]
    fn other_things_are_told_for_what_they_are() {
        assert!(matches!(look_at(b""), Err(LoadErrorKind::NotWasm)));
        assert!(matches!(look_at(b"#!/bin/sh\n"), Err(LoadErrorKind::NotWasm)));
        assert!(matches!(look_at(b"\0asm\x01\0\0\0"), Err(LoadErrorKind::CoreModule)));
        assert!(matches!(look_at(b"\0asm\x0e\0\x01\0"), Err(LoadErrorKind::Invalid(_))));
    }
}
