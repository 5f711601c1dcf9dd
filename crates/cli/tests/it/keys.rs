//! The subcommands on keys against a real node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

/// A running `ringhold serve`; ends with the test.
struct Node {
    process: Child,
    endpoint: String,
}

impl Node {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(["serve", "--http", "127.0.0.1:0", "--resp", "127.0.0.1:0", "--memory", "64MiB"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address =
            lines.find_map(|line| line.unwrap().trim().strip_prefix("HTTP").map(str::to_owned));
        let endpoint = format!("http://{}", address.expect("it says where it listens").trim());
        Self { process, endpoint }
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(words)
            .env("RINGHOLD_ENDPOINT", &self.endpoint)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a subcommand and compares exit code and standard output.
    #[track_caller]
    fn check(&self, words: &[&str], code: i32, expected: &str) {
        let output = self.run(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), text.as_str()),
            (Some(code), expected),
            "{words:?}: {told}"
        );
        assert_eq!(code == 0, told.is_empty(), "{words:?}: {told}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn keys_are_read_and_written_from_the_command_line() {
    let node = Node::start();
    node.check(&["get", "k"], 1, "");
    node.check(&["set", "k", "value", "--ttl", "100s"], 0, "");
    node.check(&["get", "k"], 0, "value");
    node.check(&["set", "k", "other", "--if-absent"], 1, "");
    node.check(&["set", "none", "other", "--if-present"], 1, "");
    node.check(&["ttl", "k", "--set", "1h"], 0, "");
    let ttl: u64 = String::from_utf8_lossy(&node.run(&["ttl", "k"]).stdout).trim().parse().unwrap();
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    node.check(&["incr", "n"], 0, "1\n");
    node.check(&["incr", "n", "--by", "-5"], 0, "-4\n");
    node.check(&["incr", "k"], 1, "");
    node.check(&["ttl", "n"], 0, "none\n");
    node.check(&["set", "a/b c%", "odd"], 0, "");
    node.check(&["get", "a/b c%"], 0, "odd");
    node.check(&["keys", "--prefix", "a"], 0, "a/b c%\n");
    node.check(&["del", "a/b c%", "none"], 0, "");
    node.check(&["set", "-n", "db2", "k", "two"], 0, "");
    node.check(&["keys", "-n", "db2", "--json"], 0, "{\"key\":\"k\"}\n");
    node.check(&["keys", "-n", "nowhere"], 1, "");
    let json = node.run(&["get", "k", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((&json["key"], &json["value"]), (&"k".into(), &"value".into()));
    let version = json["version"].as_str().unwrap();
    node.check(&["set", "k", "third", "--if-version", version], 0, "");
    node.check(&["set", "k", "fourth", "--if-version", version], 1, "");
    node.check(&["get"], 2, "");
    assert!(String::from_utf8_lossy(&node.run(&["status"]).stdout).contains("state       active"));
}

#[test]
fn namespaces_are_made_and_gone_from_the_command_line() {
    let node = Node::start();
    node.check(&["ns", "get", "tenant-1.a_b"], 1, "");
    node.check(&["ns", "set", "tenant-1.a_b", "--quota", "1KiB"], 1, "");
    let made =
        node.run(&["ns", "set", "tenant-1.a_b", "--default-ttl", "1h", "--no-eviction", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["default_ttl"], &made["eviction"]), (&"3600000ms".into(), &false.into()));
    node.check(&["set", "-n", "tenant-1.a_b", "k", "v"], 0, "");
    let ttl = node.run(&["ttl", "-n", "tenant-1.a_b", "k"]).stdout;
    let ttl: u64 = String::from_utf8_lossy(&ttl).trim().parse().unwrap();
    assert!((3590..=3600).contains(&ttl), "{ttl}");
    let list = String::from_utf8_lossy(&node.run(&["ns", "list"]).stdout).into_owned();
    assert!(list.contains("default ") && list.contains("tenant-1.a_b "), "{list}");
    let got =
        String::from_utf8_lossy(&node.run(&["ns", "get", "tenant-1.a_b"]).stdout).into_owned();
    assert!(got.contains("entries       1\n"), "{got}");
    node.check(&["ns", "del", "tenant-1.a_b"], 0, "");
    node.check(&["get", "-n", "tenant-1.a_b", "k"], 1, "");
}

#[test]
fn settings_are_shown_with_their_origin() {
    let file = std::env::temp_dir().join(format!("ringhold-config-{}.toml", std::process::id()));
    std::fs::write(&file, "threads = 3\nmemory = \"64MiB\"\n").unwrap();
    let path = file.to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ringhold"))
        .args(["config", "--show", "--config", path, "--node", "n1"])
        .env("RINGHOLD_MEMORY", "128MiB")
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |name: &str| -> String {
        let found = text.lines().find(|line| line.starts_with(&format!("{name} = ")));
        let line = found.unwrap_or_else(|| panic!("{name} in {text}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("node"), "node = \"n1\" # command line");
    assert_eq!(row("memory"), "memory = \"128MiB\" # environment: RINGHOLD_MEMORY");
    assert_eq!(row("threads"), format!("threads = 3 # file: {path}"));
    assert_eq!(row("max-value"), "max-value = \"8MiB\" # default");
    // What is shown is a configuration file itself.
    std::fs::write(&file, &text).unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_ringhold"))
        .args(["config", "--config", path])
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success(), "{told}");
}

#[test]
fn a_value_comes_from_standard_input_and_goes_out_as_it_was() {
    let node = Node::start();
    let value: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let mut set = Command::new(env!("CARGO_BIN_EXE_ringhold"))
        .args(["set", "bytes", "--endpoint", &node.endpoint])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    set.stdin.take().unwrap().write_all(&value).unwrap();
    assert!(set.wait().unwrap().success());
    assert_eq!(node.run(&["get", "bytes"]).stdout, value);
}

#[test]
fn a_node_that_is_not_there_is_told_and_no_outcome_is_made_up() {
    let run = |words: &[&str], endpoint: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_ringhold"))
            .args(words)
            .env("RINGHOLD_ENDPOINT", endpoint)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // A port that was free a moment ago: nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, told) = run(&["set", "k", "v"], &format!("http://{free}"));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("cannot be asked"), "{told}");
    assert_eq!(run(&["get", "k"], "https://localhost").0, Some(1));
    // One that takes the request and goes away: a write may have happened, a read has not.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let accept = move || {
        for stream in silent.incoming().take(2) {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 64];
            let _len = stream.read(&mut bytes).unwrap();
        }
    };
    std::thread::Builder::new().spawn(accept).unwrap();
    assert_eq!(run(&["set", "k", "v"], &endpoint).0, Some(3));
    assert_eq!(run(&["get", "k"], &endpoint).0, Some(1));
}

fn ringhold(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringhold")).args(words).env_clear().output().unwrap()
}

#[test]
fn the_version_is_told() {
    let text = String::from_utf8(ringhold(&["version"]).stdout).unwrap();
    assert!(text.starts_with("ringhold 0."), "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&ringhold(&["version", "--json"]).stdout).unwrap();
    assert!(text.contains(json["version"].as_str().unwrap()), "{text} {json}");
}

#[test]
fn shells_can_complete_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = ringhold(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let text = String::from_utf8(output.stdout).unwrap();
        for word in ["serve", "bench", "completions", "max-connections"] {
            assert!(text.contains(word), "{word} for {shell}");
        }
    }
    assert_eq!(ringhold(&["completions", "abacus"]).status.code(), Some(2));
}

#[test]
fn a_bad_file_is_told_by_name_line_and_valid_values() {
    let path = std::env::temp_dir().join(format!("ringhold-bad-{}.toml", std::process::id()));
    let name = path.display().to_string();
    for (line, part) in [
        ("memory = \"much\"", "write 512MiB"),
        ("memroy = \"1GiB\"", "`memory`"),
        ("threads", "line 2"),
    ] {
        std::fs::write(&path, format!("insecure = true\n{line}\n")).unwrap();
        for subcommand in ["serve", "config"] {
            let output = ringhold(&[subcommand, "--config", &name]);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_ne!(output.status.code(), Some(0), "{line}");
            for part in [name.as_str(), "line 2", part] {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn too_few_file_descriptors_are_told_and_survived() {
    let serve = format!(
        "ulimit -n 100; exec {} serve --http 127.0.0.1:0 --resp 127.0.0.1:0 --memory 64MiB --threads 1",
        env!("CARGO_BIN_EXE_ringhold")
    );
    let mut process =
        Command::new("sh").args(["-c", &serve]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let warning = lines.next().unwrap().unwrap();
    assert!(warning.contains("100 open files are allowed and 11064 are needed"), "{warning}");
    assert!(
        warning.contains("ulimit -n 11064") && warning.contains("--max-connections"),
        "{warning}"
    );
    let address =
        lines.find_map(|line| line.unwrap().trim().strip_prefix("RESP").map(str::to_owned));
    let address = address.unwrap().trim().to_owned();
    let _node = Node { process, endpoint: String::new() };
    let ping = |client: &mut TcpStream| {
        client.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    };
    // More than it can have: the others wait in the backlog until there is room.
    let mut clients: Vec<TcpStream> =
        (0..120).map(|_| TcpStream::connect(&address).unwrap()).collect();
    clients.iter_mut().take(50).for_each(ping);
    for _ in 0..60 {
        drop(clients.remove(0));
    }
    clients.iter_mut().for_each(ping);
}
