//! The introspection files in `dbus/` are equal to the introspection data of carpd.

use std::collections::{BTreeMap, BTreeSet};

use carp_dbus::names;

use super::Bench;

/// Members, each with its kind, name, arguments, type, access and annotations.
type Members = BTreeSet<String>;

#[tokio::test]
async fn introspection_files_equal_the_exported_data() {
    let bench = Bench::with_a_backup().await;
    let connection = bench.connection(1000).await;
    let mut exported = BTreeMap::new();
    for path in [names::ROOT_PATH.to_owned(), names::interface_path("carp0")] {
        let proxy = zbus::fdo::IntrospectableProxy::builder(&connection)
            .destination(names::BUS_NAME)
            .path(path)
            .build()
            .await
            .unwrap();
        exported.extend(interfaces(&proxy.introspect().await.unwrap()));
    }
    let mut documented = BTreeMap::new();
    for file in [
        include_str!("../../../../dbus/org.carpd1.Manager.xml"),
        include_str!("../../../../dbus/org.carpd1.Sysctl.xml"),
        include_str!("../../../../dbus/org.carpd1.Interface.xml"),
    ] {
        documented.extend(interfaces(file));
    }
    assert_eq!(documented.len(), 3);
    for (name, members) in &documented {
        assert_eq!(exported.get(name), Some(members), "{name}");
    }
    let ours = exported
        .keys()
        .filter(|name| name.starts_with("org.carpd1."));
    assert_eq!(ours.count(), documented.len());
}

#[test]
fn every_member_is_documented() {
    for file in [
        include_str!("../../../../dbus/org.carpd1.Manager.xml"),
        include_str!("../../../../dbus/org.carpd1.Sysctl.xml"),
        include_str!("../../../../dbus/org.carpd1.Interface.xml"),
    ] {
        for member in interfaces(file).into_values().flatten() {
            let name = member.split([' ', '(']).nth(1).unwrap();
            assert!(
                file.contains(&format!("        {name}:\n")),
                "{name} is not described"
            );
        }
    }
}

/// Returns the interfaces of an introspection document, with their members in a canonical form.
fn interfaces(xml: &str) -> BTreeMap<String, Members> {
    let mut found: BTreeMap<String, Members> = BTreeMap::new();
    let mut interface = String::new();
    let mut member: Option<String> = None;
    for tag in tags(xml) {
        let attributes = attributes(tag);
        let get = |name: &str| attributes.get(name).copied().unwrap_or_default();
        let closed = tag.ends_with('/');
        match tag
            .split([' ', '\n', '/'])
            .find(|word| !word.is_empty())
            .unwrap_or_default()
        {
            "interface" if tag.starts_with('/') => interface.clear(),
            "interface" => {
                get("name").clone_into(&mut interface);
                found.insert(interface.clone(), Members::new());
            }
            kind @ ("method" | "signal" | "property") if !tag.starts_with('/') => {
                member = Some(format!(
                    "{kind} {} {} {}",
                    get("name"),
                    get("type"),
                    get("access")
                ));
            }
            "arg" => {
                let text = format!("({} {} {})", get("name"), get("type"), get("direction"));
                member.as_mut().unwrap().push_str(&text);
            }
            "annotation" => {
                let text = format!("[{} {}]", get("name"), get("value"));
                member.as_mut().unwrap().push_str(&text);
            }
            _ => {}
        }
        let ends = ["method", "signal", "property"]
            .iter()
            .any(|kind| tag.trim_start_matches('/').starts_with(kind))
            && (closed || tag.starts_with('/'));
        if ends && let Some(member) = member.take() {
            found.get_mut(&interface).unwrap().insert(member);
        }
    }
    found
}

/// Returns the tags of a document, without comments and declarations.
fn tags(xml: &str) -> Vec<&str> {
    let mut rest = xml;
    let mut tags = Vec::new();
    while let Some((_, after)) = rest.split_once('<') {
        let end = if after.starts_with("!--") { "-->" } else { ">" };
        let (tag, after) = after.split_once(end).unwrap();
        if !tag.starts_with(['!', '?']) {
            tags.push(tag);
        }
        rest = after;
    }
    tags
}

fn attributes(tag: &str) -> BTreeMap<&str, &str> {
    let mut parts = tag.split('"');
    let mut attributes = BTreeMap::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let name = name
            .trim_end_matches('=')
            .rsplit([' ', '\n'])
            .next()
            .unwrap_or_default();
        attributes.insert(name, value);
    }
    attributes
}
