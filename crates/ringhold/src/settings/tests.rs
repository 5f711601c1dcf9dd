//! Facts about settings.

use super::{ByteCount, ListenAddress, Settings, SettingsFile};

fn settings() -> Settings {
    Settings::defaults(1 << 30, 2, "host")
}

#[test]
fn the_defaults_are_valid_and_use_half_of_the_memory() {
    let defaults = settings();
    assert_eq!(defaults.check(), Ok(()));
    assert_eq!(defaults.memory, 512 << 20);
    assert_eq!(defaults.value_len_max_effective(), 8 << 20);
}

#[test]
fn amounts_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("1GiB", Some(1 << 30)),
        ("512mb", Some(512 << 20)),
        ("64 KiB", Some(65536)),
        ("7", Some(7)),
    ] {
        assert_eq!(text.parse().ok().map(|ByteCount(n)| n), bytes, "{text}");
    }
    for text in ["", "GiB", "-1", "1.5GiB", "1XB", "99999999999TiB"] {
        let error = text.parse::<ByteCount>().expect_err(text);
        assert!(error.contains("512MiB"), "{error}");
    }
    assert_eq!(ByteCount(1 << 30).to_string(), "1GiB");
    assert_eq!(ByteCount(1000).to_string(), "1000");
}

#[test]
fn addresses_are_ipv4_ipv6_names_and_paths() {
    for text in ["127.0.0.1:1", "[::1]:7380", "unix:/run/x.sock"] {
        assert_eq!(text.parse::<ListenAddress>().expect(text).to_string(), text);
    }
    for text in ["", "7380", "unix:", "host:port"] {
        assert!(text.parse::<ListenAddress>().is_err(), "{text}");
    }
}

#[test]
fn an_address_beyond_loopback_needs_a_password_or_insecure() {
    let mut exposed = settings();
    exposed.http = vec!["0.0.0.0:0".parse().expect("an address")];
    let error = exposed.check().expect_err("it is exposed");
    assert!(error.to_string().contains("--password-file"), "{error}");
    exposed.is_insecure = true;
    assert_eq!(exposed.check(), Ok(()));
}

#[test]
fn a_value_limit_fits_the_memory() {
    let mut limited = settings();
    limited.value_len_max = Some(usize::try_from(limited.memory / 8).expect("it fits"));
    assert_eq!(limited.check(), Ok(()));
    limited.value_len_max = limited.value_len_max.map(|max| max + 1);
    assert_eq!(limited.check().expect_err("too large").setting, "max-value");
}

#[test]
fn a_bad_file_is_told_by_line_key_and_valid_keys() {
    let path = std::env::temp_dir().join(format!("ringhold-settings-{}.toml", std::process::id()));
    let name = path.display().to_string();
    for (line, valid) in [
        ("memroy = \"1GiB\"", "`memory`"),
        ("memory = \"much\"", "`much` is no amount of memory: write 512MiB"),
        ("max-value = \"1XB\"", "`1XB` is no amount of memory: write 512MiB"),
        ("resp = [\"nowhere\"]", "write ADDRESS:PORT"),
        ("threads = \"two\"", "invalid type: string \"two\""),
        ("memory =", "line 2"),
    ] {
        std::fs::write(&path, format!("insecure = true\n{line}\n")).expect("a file can be written");
        let text = SettingsFile::read(&path).expect_err(line).to_string();
        for part in [name.as_str(), "line 2", line, valid] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    std::fs::write(&path, "memory = \"64MiB\"\nhttp = [\"127.0.0.1:1\"]")
        .expect("it can be written");
    let file = SettingsFile::read(&path).expect("it is valid");
    assert_eq!((file.memory, file.http.map(|all| all.len())), (Some(ByteCount(64 << 20)), Some(1)));
    std::fs::remove_file(&path).expect("it was there");
    let text = SettingsFile::read(&path).expect_err("it is gone").to_string();
    assert!(text.contains(&name) && text.contains("cannot be read"), "{text}");
}
