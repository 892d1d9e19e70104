//! The operation against a real registry, against registries that misbehave, and against a stand-in of an engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchback_container::ask::{At, Build, RegistryAnswer, RegistryAsk};
use switchback_container::image::{Before, Image, Output, Params};
use switchback_container::layout::Layout;
use switchback_container::remote::{EngineConfig, Registries};
use switchback_engine::cx::{Clock, Contexts, CxSink, Fence, RunCx};
use switchback_engine::executor::Control;
use switchback_engine::remote::Answers;
use switchback_engine::secrets::Secrets;
use switchback_engine::{Cx, Expect, Found, Operation as _, Undo};
use switchback_model::record::{Called, Proof};
use switchback_model::{ErrorClass, Generation, OpResult, StepId};
use tempfile::TempDir;

/// A registry of its own, with its own folder.
struct Server {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let config = format!(
            r#"{{"version": "0.1", "log": {{"level": "error", "accesslog": {{"disabled": true}}}},
                "storage": {{"filesystem": {{"rootdirectory": "{}"}}, "delete": {{"enabled": true}}}},
                "http": {{"addr": "{address}"}}}}"#,
            folder.path().display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).env_clear().stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("install the Debian package docker-registry");
        let server = Self { child, address, _folder: folder };
        for _ in 0..2000 {
            if TcpStream::connect(address).is_ok() {
                return server;
            }
            #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the registry does not answer");
    }

    fn params(&self) -> Params {
        params(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn params(address: SocketAddr) -> Params {
    let layout = Layout {
        executables: BTreeMap::from([("/app".into(), "#!/bin/sh\n".into())]),
        entrypoint: vec!["/app".into()],
        ..Layout::default()
    };
    Params {
        repository: "registry.example/team/app".into(),
        registry: Some(address.to_string()),
        tag: "v1".into(),
        archive: None,
        build: None,
        layout: Some(layout),
        username: None,
        password: None,
    }
}

struct Nobody;

impl Clock for Nobody {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

impl Fence for Nobody {
    fn check(&self) -> OpResult<()> {
        Ok(())
    }
}

impl CxSink for Nobody {
    fn progress(&self, _: &StepId, _: &str) {}
    fn called(&self, _: &StepId, _: Generation, _: Called) {}
}

/// The context of a step of that name.
fn cx_with(step: &str, engine: EngineConfig) -> Cx {
    let shared = RunCx {
        run: "00000000-0000-0000-0000-000000000007".parse().unwrap(),
        tag_prefix: "switchback".into(),
        clock: Arc::new(Nobody),
        contexts: Contexts::new().with::<Answers<RegistryAsk>>(Arc::new(Registries::new(engine))),
        secrets: Secrets::none(),
        fence: Arc::new(Nobody),
        sink: Arc::new(Nobody),
        control: Control::new(),
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
    Cx::new(Arc::new(shared), StepId::new(step), Generation::FIRST, "0123456789abcdef", deadline)
}

fn cx(step: &str) -> Cx {
    cx_with(step, EngineConfig::default())
}

async fn forward(cx: &Cx, params: &Params) -> (Before, Output) {
    let before = Image.capture(cx, params).await.unwrap();
    let output = Image.create(cx, params, &before).await.unwrap();
    let output = Image.settle(cx, params, &before, &output).await.unwrap();
    (before, output)
}

async fn holds(cx: &Cx, params: &Params, (before, output): &(Before, Output), want: Expect) -> bool {
    Image.verify(cx, params, before, Some(output), want).await.unwrap().holds()
}

/// What a tag names.
async fn named(cx: &Cx, params: &Params) -> Option<String> {
    let at = At { registry: params.registry.clone(), ..At::default() };
    let ask = RegistryAsk::GetManifest { at, image: format!("{}:{}", params.repository, params.tag) };
    match cx.ask(ask).await.unwrap() {
        RegistryAnswer::Image(found) => found.map(|facts| facts.digest),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_image_is_pushed_and_taken_away() {
    let server = Server::start();
    let (cx, params) = (cx("app"), server.params());
    let made = forward(&cx, &params).await;
    assert_eq!(made.1.image, format!("registry.example/team/app@{}", made.1.digest));
    assert!(holds(&cx, &params, &made, Expect::Created).await);
    assert!(!holds(&cx, &params, &made, Expect::RolledBack).await);
    let found = Image.find(&cx, &params, &made.0).await.unwrap();
    assert_eq!(found, Found::Ours { output: made.1.clone(), proof: Proof::Strong });
    assert_eq!(Image.rollback(&cx, &params, &made.0, &made.1).await.unwrap(), Undo::Done);
    assert!(holds(&cx, &params, &made, Expect::RolledBack).await);
    assert_eq!(Image.rollback(&cx, &params, &made.0, &made.1).await.unwrap(), Undo::Nothing);
    assert_eq!(Image.find(&cx, &params, &made.0).await.unwrap(), Found::Absent);
}

#[tokio::test]
async fn what_the_tag_named_before_is_put_back() {
    let server = Server::start();
    let (first, second, params) = (cx("first"), cx("second"), server.params());
    let old = forward(&first, &params).await;
    let new = forward(&second, &params).await;
    assert_ne!(old.1.digest, new.1.digest, "the same content of two steps are two images");
    assert_eq!(named(&second, &params).await.as_ref(), Some(&new.1.digest));
    assert_eq!(Image.rollback(&second, &params, &new.0, &new.1).await.unwrap(), Undo::Done);
    assert_eq!(named(&second, &params).await.as_ref(), Some(&old.1.digest));
    assert!(holds(&second, &params, &new, Expect::RolledBack).await);
    assert!(holds(&first, &params, &old, Expect::Created).await);
}

#[tokio::test]
async fn a_tag_that_somebody_moved_is_drift_and_other_tags_too() {
    let server = Server::start();
    let (ours, theirs, params) = (cx("ours"), cx("theirs"), server.params());
    let made = forward(&ours, &params).await;
    let moved = forward(&theirs, &params).await;
    let error = Image.rollback(&ours, &params, &made.0, &made.1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Drift);
    let error = Image.settle(&ours, &params, &made.0, &made.1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Drift);
    Image.rollback(&theirs, &params, &moved.0, &moved.1).await.unwrap();

    let at = At { registry: params.registry.clone(), ..At::default() };
    let image = format!("{}:other", params.repository);
    ours.ask(RegistryAsk::TagImage { at, image, digest: made.1.digest.clone() }).await.unwrap();
    let error = Image.rollback(&ours, &params, &made.0, &made.1).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Drift, Some("OtherTags")));
    assert_eq!(named(&ours, &params).await.as_ref(), Some(&made.1.digest), "nothing was deleted");
}

/// `docker save` of an image of one layer, as old engines write it.
fn saved(folder: &TempDir, layer: &[u8]) -> String {
    let path = folder.path();
    std::fs::write(path.join("layer.tar"), layer).unwrap();
    let sum = Command::new("sha256sum").arg(path.join("layer.tar")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/app"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{sum}"]}}}}"#
    );
    std::fs::write(path.join("config.json"), config).unwrap();
    let list = r#"[{"Config":"config.json","RepoTags":["x:1"],"Layers":["layer.tar"]}]"#;
    std::fs::write(path.join("manifest.json"), list).unwrap();
    let mut tar = Command::new("tar");
    tar.current_dir(path).args(["-cf", "image.tar", "config.json", "layer.tar", "manifest.json"]);
    assert!(tar.status().unwrap().success());
    path.join("image.tar").display().to_string()
}

#[tokio::test]
async fn an_archive_is_pushed_as_it_is() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    // Larger than what is read at once.
    let archive = saved(&folder, &vec![7; 700 * 1024]);
    let params = Params { layout: None, archive: Some(archive.clone()), ..server.params() };
    let made = forward(&cx("a"), &params).await;
    let other = Params { tag: "v2".into(), ..params.clone() };
    let again = forward(&cx("b"), &other).await;
    assert_eq!(made.1.digest, again.1.digest, "it keeps its digest, whoever pushes it");
    let found = Image.find(&cx("a"), &params, &made.0).await.unwrap();
    assert!(matches!(found, Found::Ours { proof: Proof::Weak, .. }));
    // It was there before the second one: its tag cannot be taken away alone.
    let error = Image.rollback(&cx("b"), &other, &again.0, &again.1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);

    // One that changed since it was looked at is not pushed.
    saved(&folder, b"other");
    let third = Params { tag: "v3".into(), ..params.clone() };
    let error = Image.create(&cx("c"), &third, &made.0).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("SourceChanged"));
    assert_eq!(named(&cx("c"), &third).await, None);
    std::fs::write(&archive, "no archive").unwrap();
    let error = Image.capture(&cx("d"), &params).await.unwrap_err();
    assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Permanent, Some("Archive")));
}

/// Answers HTTP requests one by one: the status and the body for a method and a path.
fn answering(answer: impl Fn(&str, &str) -> (u16, Vec<u8>) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let (mut request, mut part) = (Vec::new(), [0; 4096]);
            let head = loop {
                let Ok(read @ 1..) = stream.read(&mut part) else { break None };
                request.extend_from_slice(&part[..read]);
                if let Some(at) = request.windows(4).position(|four| four == b"\r\n\r\n") {
                    break Some(at + 4);
                }
            };
            let Some(head) = head else { continue };
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            let mut body = request.len() - head;
            while body < length.unwrap_or(0) {
                match stream.read(&mut part) {
                    Ok(read @ 1..) => body += read,
                    _ => break,
                }
            }
            let first = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            let mut words = first.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let (status, body) = answer(method, path);
            if status == 0 {
                continue;
            }
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&body);
        }
    });
    address
}

#[tokio::test]
async fn registries_that_refuse_are_told_apart() {
    let before = Before { tagged: None, digest: None, was_there: false };
    for (status, reading, writing) in [
        (401, ErrorClass::Unavailable, ErrorClass::Unavailable),
        (403, ErrorClass::Permanent, ErrorClass::Permanent),
        (429, ErrorClass::Transient, ErrorClass::Transient),
        (500, ErrorClass::Transient, ErrorClass::Ambiguous),
        (503, ErrorClass::Transient, ErrorClass::Ambiguous),
        // No answer at all.
        (0, ErrorClass::Transient, ErrorClass::Ambiguous),
    ] {
        let address = answering(move |method, path| match (method, path) {
            (_, "/v2/") => (200, b"{}".to_vec()),
            // Blobs are there, so that the manifest is what fails.
            ("HEAD", _) => (200, Vec::new()),
            _ => (status, br#"{"errors":[{"code":"SOME","message":"no"}]}"#.to_vec()),
        });
        let (cx, params) = (cx("a"), params(address));
        let error = Image.capture(&cx, &params).await.unwrap_err();
        assert_eq!(error.class, reading, "{status}: {error}");
        let error = Image.create(&cx, &params, &before).await.unwrap_err();
        assert_eq!(error.class, writing, "{status}: {error}");
    }
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let error = Image.create(&cx("a"), &params(gone), &before).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "nothing was sent: {error}");
}

#[tokio::test]
async fn a_manifest_that_is_not_what_it_should_be_is_not_believed() {
    let address = answering(|_, path| match path {
        "/v2/" => (200, b"{}".to_vec()),
        _ => (200, br#"{"schemaVersion":2}"#.to_vec()),
    });
    let error = Image.capture(&cx("a"), &params(address)).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("DigestMismatch"), "{error}");
}

#[tokio::test]
async fn an_engine_builds_once_and_what_it_built_goes_with_the_image() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let image = std::fs::read(saved(&folder, b"a layer")).unwrap();
    let (builds, said) = (Arc::new(Mutex::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (there, calls) = (Arc::clone(&builds), Arc::clone(&said));
    let engine = answering(move |method, path| {
        let path = path.split('?').next().unwrap_or_default();
        let path = path.split_once("/v1.").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, rest)| rest));
        let mut there = there.lock().unwrap();
        let name = "switchback%2fbuild:0123456789abcdef";
        let path = path.trim_start_matches('/').to_owned();
        calls.lock().unwrap().push(format!("{method} {path}"));
        let plain = path.to_ascii_lowercase().replace("switchback/build", "switchback%2fbuild").replace("%3a", ":");
        match (method, plain.as_str()) {
            ("POST", "build") => {
                *there = true;
                (200, b"{\"stream\":\"done\"}\r\n".to_vec())
            }
            ("GET", path) if path == format!("images/{name}/json") && *there => (200, b"{}".to_vec()),
            ("GET", path) if path == format!("images/{name}/get") && *there => (200, image.clone()),
            ("DELETE", path) if path == format!("images/{name}") && *there => {
                *there = false;
                (200, b"[]".to_vec())
            }
            _ => (404, br#"{"message":"no such image"}"#.to_vec()),
        }
    });
    let context = tempfile::tempdir().unwrap();
    std::fs::write(context.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    let build = Build {
        context: context.path().display().to_string(),
        dockerfile: None,
        target: None,
        args: BTreeMap::from([("VERSION".into(), "1".into())]),
    };
    let params = Params { layout: None, build: Some(build), ..server.params() };
    let scratch = tempfile::tempdir().unwrap();
    let config = EngineConfig { host: Some(format!("tcp://{engine}")), scratch: scratch.path().to_owned() };
    let cx = cx_with("app", config);
    let before = Image.capture(&cx, &params).await.unwrap();
    assert_eq!(before.digest, None, "nobody knows before it is built");
    assert_eq!(Image.find(&cx, &params, &before).await.unwrap(), Found::Absent);
    let output = Image.create(&cx, &params, &before).await.unwrap();
    assert_eq!(Image.create(&cx, &params, &before).await.unwrap(), output);
    let count = |call: &str| said.lock().unwrap().iter().filter(|it| it.as_str() == call).count();
    assert_eq!(count("POST build"), 1, "a second push takes what the first one built");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "no archive is left");
    Image.settle(&cx, &params, &before, &output).await.unwrap();
    let found = Image.find(&cx, &params, &before).await.unwrap();
    assert_eq!(found, Found::Ours { output: output.clone(), proof: Proof::Strong });
    assert_eq!(Image.rollback(&cx, &params, &before, &output).await.unwrap(), Undo::Done);
    assert!(!*builds.lock().unwrap(), "the local image is gone");
    assert_eq!(named(&cx, &params).await, None);
}
