//! Whether a repository may be pushed to at all, and Harbor's way to make room for it.

use http::Method;
use http::StatusCode;
use http::header::LOCATION;
use serde_json::Value;

use crate::record::lock;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::target::Registry;
use crate::target::route::PROJECTS;
use crate::target::route::Route;
use crate::upstream::pull::unknown_name;
use crate::upstream::route::Route as Pull;

impl Registry {
    /// The 404 of a push to a place that has to be made first.
    pub(super) fn unknown(&self, route: &Route<'_>, ask: &Ask) -> Option<Answer> {
        let name = match *route {
            Route::Uploads(name) => name,
            Route::Pull(Pull::Manifest(name, _)) if ask.method == Method::PUT => name,
            _ => return None,
        };
        let rules = self.rules();
        let project = name.split('/').next().unwrap_or_default();
        if rules.projects && !lock(&self.projects).contains(project) {
            return Some(unknown_name(name));
        }
        if rules.existing_only && self.repositories.read(name, |_| ()).is_none() {
            return Some(unknown_name(name));
        }
        None
    }

    /// Harbor's API of projects, as far as making them needs it.
    pub(super) fn project(&self, rest: &str, ask: &Ask) -> Answer {
        if !self.rules().projects {
            return Answer::error(StatusCode::NOT_FOUND, "NOT_FOUND", "no such page");
        }
        let mut projects = lock(&self.projects);
        let asked = ask.query("project_name");
        let asked = asked.as_deref().or(rest.strip_prefix('/'));
        match (&ask.method, asked) {
            (&Method::POST, _) => {
                let parsed: Value = serde_json::from_slice(&ask.body.bytes()).unwrap_or_default();
                let Some(name) = parsed["project_name"].as_str() else {
                    let message = "project_name is required";
                    return Answer::error(StatusCode::BAD_REQUEST, "BAD_REQUEST", message);
                };
                if !projects.insert(name.to_owned()) {
                    let message = format!("The project named {name} already exists");
                    return Answer::error(StatusCode::CONFLICT, "CONFLICT", &message);
                }
                let place = format!("{PROJECTS}/{}", projects.len());
                Answer::empty(StatusCode::CREATED).with(LOCATION, &place)
            }
            (_, Some(name)) if projects.contains(name) => {
                let found = serde_json::json!({"name": name});
                Answer::json(StatusCode::OK, &found)
            }
            _ => Answer::error(StatusCode::NOT_FOUND, "NOT_FOUND", "no such project"),
        }
    }
}
