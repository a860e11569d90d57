//! Files in messages, with real formats built here.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD};
use serde_json::{Value, json};

use crate::anonymize::{Anonymizer, Direction, Fake, MatchMode, Real, ReplacementRule};
use crate::json;
use crate::secret::Secret;

fn rule(fake: &str, real: &str, case_sensitive: bool) -> ReplacementRule {
    ReplacementRule {
        fake: fake.into(),
        real: Secret::new(real),
        direction: Direction::Both,
        case_sensitive,
        matching: None,
        label: None,
        servers: None,
    }
}

fn sample_anonymizer() -> Anonymizer {
    let rules = [rule("Zoe", "Ann", true), rule("Lou", "max", false), rule("Jane Doe", "José Müller", true)];
    Anonymizer::new(&rules).unwrap_or_else(|conflicts| panic!("{conflicts:?}"))
}

fn conceal(message: &Value) -> Value {
    let raw = json::serialize_raw(message);
    let concealed = sample_anonymizer().conceal(Real::from_server(raw)).expect("no leak");
    serde_json::from_str(concealed.get().get()).expect("JSON")
}

fn reveal(message: &Value) -> Value {
    let raw = Fake::concealed(json::serialize_raw(message));
    let revealed = sample_anonymizer().reveal(&"files".parse().expect("a name"), &raw);
    serde_json::from_str(revealed.expose().get()).expect("JSON")
}

/// Bytes without any order, the same each time.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

/// A grey image of 200 columns, with stored blocks of deflate.
fn png(rows: usize, seed: u64) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in 0..rows {
        lines.push(0);
        lines.extend(noise(200, seed * 1_000 + row as u64));
    }
    let mut zlib = vec![0x78, 0x01];
    let blocks: Vec<&[u8]> = lines.chunks(60_000).collect();
    for (number, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).expect("a block");
        zlib.push(u8::from(number + 1 == blocks.len()));
        zlib.extend(length.to_le_bytes());
        zlib.extend((!length).to_le_bytes());
        zlib.extend_from_slice(block);
    }
    let (a, b) = lines.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    zlib.extend((b << 16 | a).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [200_u32.to_be_bytes().as_slice(), &(rows as u32).to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    for (name, data) in [(b"IHDR", header), (b"IDAT", zlib), (b"IEND", Vec::new())] {
        let chunk = [name.as_slice(), &data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend_from_slice(&chunk);
        file.extend(crc32(&chunk).to_be_bytes());
    }
    file
}

/// An archive of one stored file.
fn zip(data: &[u8]) -> Vec<u8> {
    let head = |signature: &[u8], length: usize| {
        let mut head = signature.to_vec();
        head.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        head.extend(crc32(data).to_le_bytes());
        head.extend((data.len() as u32).to_le_bytes());
        head.extend((data.len() as u32).to_le_bytes());
        head.extend([1, 0]);
        head.resize(length, 0);
        head
    };
    let local = [head(b"PK\x03\x04", 30).as_slice(), b"a", data].concat();
    let mut central = head(b"PK\x01\x02\x14\0", 46);
    central.push(b'a');
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend((central.len() as u32).to_le_bytes());
    end.extend((local.len() as u32).to_le_bytes());
    end.extend([0, 0]);
    [local, central, end].concat()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let jpeg = [
        b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".as_slice(),
        &noise(40_000, 7),
        b"\xFF\xD9",
    ]
    .concat();
    let pdf = [
        b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n1 0 obj\n<</Length 200000/Filter/FlateDecode>>\nstream\n".as_slice(),
        &noise(40_000, 8),
        b"\nendstream\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    ]
    .concat();
    let mut files: Vec<_> = (1..7).map(|seed| ("image/png", png(200, seed))).collect();
    files.extend([
        ("image/jpeg", jpeg),
        ("application/pdf", pdf),
        ("application/zip", zip(&noise(40_000, 9))),
    ]);
    files
}

#[test]
fn binary_files_keep_their_bytes_both_ways() {
    let mut short_values = 0;
    for (mime, bytes) in files() {
        let data = BASE64.encode(&bytes);
        let folded = data.to_ascii_lowercase();
        short_values += folded.matches("max").count() + folded.matches("lou").count();
        let message = json!({ "content": [
            { "type": "text", "text": "for José Müller" },
            { "type": "image", "data": data, "mimeType": mime },
            { "type": "resource", "resource": { "uri": "file:///a", "mimeType": mime, "blob": data } },
            { "type": "text", "text": format!("<img src='data:{mime};base64,{data}'> by Ann") },
        ], "upload": data });
        let mut expected = message.clone();
        expected["content"][0]["text"] = "for Jane Doe".into();
        expected["content"][3]["text"] = format!("<img src='data:{mime};base64,{data}'> by Zoe").into();
        assert!(conceal(&message) == expected, "{mime} was altered toward the agent");
        assert!(reveal(&expected) == message, "{mime} was altered toward the server");
    }
    assert!(short_values > 5, "the files hold {short_values} values by chance, so they would show a search");
}

#[test]
fn a_text_file_is_rewritten_and_encoded_as_it_was() {
    let (real, fake) = ("to José Müller, and to Ann\n", "to Jane Doe, and to Zoe\n");
    let utf16 = |text: &str| -> Vec<u8> {
        "\u{feff}"
            .chars()
            .chain(text.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect()
    };
    for (real, fake) in [(real.as_bytes().to_vec(), fake.as_bytes().to_vec()), (utf16(real), utf16(fake))] {
        for alphabet in [BASE64, BASE64_NOPAD, BASE64URL_NOPAD] {
            let message = |text: &[u8]| {
                let data = alphabet.encode(text);
                json!({ "content": [
                    { "type": "blob", "data": data, "mimeType": "application/octet-stream" },
                    { "type": "resource", "resource": { "uri": "file:///a", "blob": data } },
                    { "type": "text", "text": format!("data:text/plain;base64,{data}") },
                ] })
            };
            // Without padding a length may need none, which reads as padded: then both are written alike.
            let concealed = conceal(&message(&real));
            let decode = |value: &Value| {
                let text = value
                    .as_str()
                    .expect("a text")
                    .trim_start_matches("data:text/plain;base64,")
                    .trim_end_matches('=')
                    .to_owned();
                [BASE64_NOPAD, BASE64URL_NOPAD]
                    .iter()
                    .find_map(|alphabet| alphabet.decode(text.as_bytes()).ok())
            };
            for place in ["/content/0/data", "/content/1/resource/blob", "/content/2/text"] {
                assert_eq!(
                    decode(concealed.pointer(place).expect("a blob")).as_ref(),
                    Some(&fake),
                    "{place}"
                );
            }
            let revealed = reveal(&concealed);
            for place in ["/content/0/data", "/content/1/resource/blob", "/content/2/text"] {
                assert_eq!(decode(revealed.pointer(place).expect("a blob")).as_ref(), Some(&real), "{place}");
            }
            if alphabet == BASE64 {
                assert_eq!((concealed, revealed), (message(&fake), message(&real)));
            }
        }
    }
}

/// A file is concealed like any text: a replacement that would be revealed as another value withholds the message.
#[test]
fn a_file_in_which_a_replacement_would_not_come_back_is_withheld() {
    let rules = [("ohannes", "Maria"), ("x-files-o", "Erika")].map(|(fake, real)| ReplacementRule {
        matching: Some(MatchMode::Substring),
        ..rule(fake, real, true)
    });
    let set = Anonymizer::new(&rules).expect("rules that go together");
    for (text, is_ok) in [("x-files-Maria", false), ("y-files-Maria", true)] {
        let message = json::serialize_raw(&json!({ "blob": BASE64.encode(text.as_bytes()) }));
        assert_eq!(set.conceal(Real::from_server(message)).is_ok(), is_ok, "{text}");
    }
}

/// The answer of `read_media_file` of `@modelcontextprotocol/server-filesystem`, for a file that is no image.
#[test]
fn a_server_that_reads_text_as_media_shows_no_value() {
    let data = |name: &str| BASE64.encode(format!("name,city\n{name},Köln\n").as_bytes());
    let answer = |name: &str| {
        let block = json!({ "type": "blob", "data": data(name), "mimeType": "application/octet-stream" });
        json!({ "content": [block], "structuredContent": { "content": [block] } })
    };
    assert_eq!(conceal(&answer("José Müller")), answer("Jane Doe"));
}

#[test]
fn a_long_string_that_is_base64_of_text_is_opened_without_a_sign() {
    let data = |name: &str| {
        BASE64.encode(
            format!("{{\"sub\":\"1\",\"name\":\"{name}\",\"role\":\"reader of many things\"}}").as_bytes(),
        )
    };
    assert_eq!(
        conceal(&json!([data("José Müller"), { "José Müller": 1 }])),
        json!([data("Jane Doe"), { "Jane Doe": 1 }])
    );
    let nested = |name: &str| BASE64.encode(format!("see data:text/plain;base64,{}", data(name)).as_bytes());
    assert_eq!(conceal(&json!([nested("José Müller")])), json!([nested("Jane Doe")]));
}

#[test]
fn words_that_are_valid_base64_are_searched_as_text() {
    let path = "home/maxine/projects/max/source/anonymize/leak/scan/and/much/more";
    let long = format!("{path}/{}", "abc".repeat(2));
    let path = &long[..long.len() / 4 * 4];
    assert!(path.len() >= 64 && BASE64_NOPAD.decode(path.as_bytes()).is_ok(), "it would pass for base64");
    assert_eq!(conceal(&json!([path])), json!([path.replace("/max/", "/Lou/")]));
    assert_eq!(
        conceal(&json!({ "data": "max/maxm", "mimeType": "text/plain" })),
        json!({ "data": "Lou/maxm", "mimeType": "text/plain" })
    );
}

#[test]
fn a_value_in_binary_data_is_withheld() {
    let file =
        [b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n/Author(Jos\xC3\xA9 M\xC3\xBCller)".as_slice(), &noise(3_000, 3)]
            .concat();
    let message = json!({ "blob": BASE64.encode(&file) });
    assert!(sample_anonymizer().conceal(Real::from_server(json::serialize_raw(&message))).is_err());
}

#[test]
fn many_files_and_nothing_to_replace_leave_the_bytes_alone() {
    let blobs: Vec<Value> =
        (0..200).map(|seed| json!({ "blob": BASE64.encode(&png(1, seed)), "n": 1.0 })).collect();
    let text = json!(blobs).to_string().replace(",\"n\"", " ,\n \"n\"");
    let raw = json::parse_raw(text.clone()).expect("JSON");
    assert_eq!(sample_anonymizer().conceal(Real::from_server(raw)).expect("no leak").get().get(), text);
}
