use super::Place;

const HASH: &str = "$2y$04$itm6IKy0ucLb49hZEoE5sOG0Pmx7EMGMa6dW8jBrhUh8sI3kGav1G";

fn place(server: &str, users: &str) -> Place {
    let place = Place::new();
    let keys = "login = { htpasswd = \"users\", tokens = \"tokens\" }\n";
    place.write("proxy.toml", &format!("[server]\n{keys}{server}"));
    place.write("users", users);
    place.write("tokens", "ci:sesame\nbot:another\n");
    place
}

#[test]
fn check_reads_the_files_of_users() {
    let place = place("", &format!("alice:{HASH}\n"));
    let said = place.run("check --offline").well();
    let line = "ok      login: 1 users with passwords, 2 tokens\n";
    assert!(said.contains(line), "{said}");

    place.write("users", &format!("alice:{HASH}\nbob:$apr1$hunter2$x\n"));
    for command in ["check --offline", "check", "serve"] {
        let said = place.run(command);
        assert_eq!(said.stdout, "");
        let said = said.failed(2);
        let expected = "error: users:2: only bcrypt hashes are accepted here";
        assert!(said.contains(expected), "{command}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn check_reads_the_files_of_those_who_look_too() {
    let place = place("admin_login = { tokens = \"admins\" }\n", "");
    let said = place.run("check --offline").failed(2);
    assert!(said.starts_with("error: admins: No such file"), "{said}");
    place.write("admins", "root:open\n");
    let said = place.run("check --offline").well();
    let line = "ok      admin_login: 0 users with passwords, 1 tokens\n";
    assert!(said.contains(line), "{said}");
}
