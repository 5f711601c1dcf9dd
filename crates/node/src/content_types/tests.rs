//! Facts about content types.

use super::*;

fn fields(types: &ContentTypes, kept: &OwnContentType) -> String {
    let fields = types.fields(kept.borrow()).expect("something was said");
    String::from_utf8(fields.into_owned()).expect("text")
}

#[test]
fn a_type_is_kept_once_with_its_encoding() {
    let types = ContentTypes::default();
    assert_eq!(types.keep(None, None), Ok(OwnContentType::NONE));
    assert_eq!(types.fields(ContentType::NONE), None);
    let json = types.keep(Some(b"application/json"), None).expect("it is short");
    assert_eq!(types.keep(Some(b" application/json"), None), Ok(json.clone()));
    assert_eq!(fields(&types, &json), "content-type: application/json\r\n");
    let packed = types.keep(None, Some(b"gzip")).expect("it is short");
    assert_eq!(
        fields(&types, &packed),
        "content-type: application/octet-stream\r\ncontent-encoding: gzip\r\n"
    );
}

#[test]
fn what_no_row_is_left_for_is_kept_as_text() {
    let types = ContentTypes::default();
    for number in 0..CONTENT_TYPES_MAX + 10 {
        let (name, encoding) = (format!("x/{number}"), (number % 2 == 0).then_some(&b"br"[..]));
        let kept = types.keep(Some(name.as_bytes()), encoding).expect("it is short");
        let is_row = matches!(kept, OwnContentType::Row(_));
        assert_eq!(is_row, number < CONTENT_TYPES_MAX, "{name}");
        let encoding = if number % 2 == 0 { "content-encoding: br\r\n" } else { "" };
        assert_eq!(fields(&types, &kept), format!("content-type: {name}\r\n{encoding}"));
        assert_eq!(OwnContentType::of(kept.borrow()), kept);
    }
    let first = types.keep(Some(b"x/1"), None).expect("it is short");
    assert_eq!(first, OwnContentType::Row(ContentTypeId(2)), "rows stay");
}

#[test]
fn a_type_and_its_encoding_have_a_greatest_length() {
    let types = ContentTypes::default();
    assert!(types.keep(Some(&[b'x'; 255]), None).is_ok());
    assert_eq!(types.keep(Some(&[b'x'; 256]), None), Err(TooLong));
    assert!(types.keep(Some(&[b'x'; 252]), Some(b"br")).is_ok());
    assert_eq!(types.keep(Some(&[b'x'; 253]), Some(b"br")), Err(TooLong));
}
