//! A browser without scripts: it keeps cookies, follows redirects, reads forms and sends them as browsers do.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use scraper::{ElementRef, Html, Selector};
use url::Url;

use crate::door::Door;

/// A browser, with its own cookies.
#[derive(Debug, Clone)]
pub struct Browser {
    door: Door,
    /// For everybody else.
    client: reqwest::Client,
    cookies: Vec<Cookie>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// What it shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it ended up.
    pub url: Url,
    /// The status of the last answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: http::HeaderMap,
    /// Its body.
    pub html: String,
}

impl Browser {
    /// A browser that has been nowhere.
    pub fn new(door: &Door) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let door = match door {
            Door::Memory(memory) => Door::Memory(memory.clone()),
            Door::Socket { url, .. } => Door::Socket { client: client.clone(), url: url.clone() },
        };
        Self { door, client, cookies: Vec::new() }
    }

    /// Opens an address, absolute or a path of the gateway, and follows where it leads.
    pub async fn open(&mut self, url: &str) -> Page {
        let page = self.ask(Method::GET, &self.absolute(url), Vec::new(), &[]).await;
        self.follow(page).await
    }

    /// Opens an address and stays there, whatever it answers.
    pub async fn look(&mut self, url: &str) -> Page {
        self.ask(Method::GET, &self.absolute(url), Vec::new(), &[]).await
    }

    /// Follows a redirect, and those after it.
    pub async fn follow(&mut self, mut page: Page) -> Page {
        for _ in 0..12 {
            let Some(next) = page.location() else { return page };
            page = self.ask(Method::GET, &next, Vec::new(), &[]).await;
        }
        panic!("redirected without end: {}", page.url);
    }

    /// Follows a link by its text.
    pub async fn click(&mut self, page: &Page, text: &str) -> Page {
        let link = page.link(text).unwrap_or_else(|| panic!("no link `{text}`: {}", page.text()));
        self.open(link.as_str()).await
    }

    /// Presses a button by the start of its text, with these fields filled in, and follows where it leads.
    pub async fn press(&mut self, page: &Page, button: &str, filled: &[(&str, &str)]) -> Page {
        let form =
            page.form(button, filled).unwrap_or_else(|| panic!("no button `{button}`: {}", page.text()));
        let page = self.send(&form, Some(&page.url)).await;
        self.follow(page).await
    }

    /// Sends a form as a page at that address would; a page of nowhere sends no origin.
    pub async fn send(&mut self, form: &Form, from: Option<&Url>) -> Page {
        let fields = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&form.fields).finish();
        if form.method == Method::GET {
            let mut url = form.action.clone();
            url.set_query(Some(&fields));
            return self.ask(Method::GET, &url, Vec::new(), &[]).await;
        }
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        if let Some(from) = from {
            let site = if from.origin() == form.action.origin() { "same-origin" } else { "cross-site" };
            headers.push(("origin", from.origin().ascii_serialization()));
            headers.push(("sec-fetch-site", site.to_owned()));
        }
        self.ask(Method::POST, &form.action, fields.into_bytes(), &headers).await
    }

    /// A cookie for the gateway.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    /// The names of all cookies.
    pub fn cookie_names(&self) -> Vec<&str> {
        self.cookies.iter().map(|cookie| cookie.name.as_str()).collect()
    }

    /// Sets a cookie for the gateway, as a thief would who has one.
    pub fn set_cookie(&mut self, name: &str, value: &str) {
        let host = Url::parse(self.door.url()).unwrap().host_str().unwrap().to_owned();
        self.cookies.retain(|cookie| cookie.name != name);
        self.cookies.push(Cookie { host, path: "/".into(), name: name.into(), value: value.into() });
    }

    /// Forgets a cookie.
    pub fn forget(&mut self, name: &str) {
        self.cookies.retain(|cookie| cookie.name != name);
    }

    /// An address, where a path is one of the gateway.
    pub fn absolute(&self, url: &str) -> Url {
        Url::parse(self.door.url()).unwrap().join(url).unwrap()
    }

    async fn ask(&mut self, method: Method, url: &Url, body: Vec<u8>, headers: &[(&str, String)]) -> Page {
        let ours = Url::parse(self.door.url()).unwrap();
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let host = url.host_str().unwrap().to_owned();
        let is_for = |cookie: &&Cookie| cookie.host == host && url.path().starts_with(&cookie.path);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(is_for)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        let uri = if url.origin() == ours.origin() { target } else { url.to_string() };
        let mut request = Request::builder().method(method).uri(uri).header("user-agent", "Test browser");
        if !cookies.is_empty() {
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let (status, headers, html) = if url.origin() == ours.origin() {
            let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
            let request = request.header("host", authority).body(Bytes::from(body)).unwrap();
            let answer = self.door.send(request).await;
            (answer.status, answer.headers.clone(), answer.text().await)
        } else {
            let (head, body) = request.body(body).unwrap().into_parts();
            let asked = self.client.request(head.method, url.as_str()).headers(head.headers).body(body);
            let answer = asked.send().await.unwrap();
            (answer.status(), answer.headers().clone(), answer.text().await.unwrap())
        };
        for line in headers.get_all(header::SET_COOKIE) {
            self.keep(&host, line.to_str().unwrap());
        }
        Page { url: url.clone(), status, headers, html }
    }

    fn keep(&mut self, host: &str, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes: Vec<(String, &str)> = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(key, value)| (key.to_lowercase(), value))
            .collect();
        let attribute = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        if name.starts_with("__Host-") {
            assert!(attribute("secure").is_some() && attribute("path") == Some("/"), "{line}");
            assert!(attribute("domain").is_none() && attribute("httponly").is_some(), "{line}");
        }
        let path = attribute("path").unwrap_or("/").to_owned();
        self.cookies.retain(|cookie| !(cookie.host == host && cookie.name == name && cookie.path == path));
        let gone = attribute("max-age") == Some("0")
            || attribute("expires").is_some_and(|date| date.contains("01 Jan 1970"));
        if !gone {
            let (host, name, value) = (host.to_owned(), name.to_owned(), value.to_owned());
            self.cookies.push(Cookie { host, path, name, value });
        }
    }
}

/// A form, filled in.
#[derive(Debug, Clone)]
pub struct Form {
    /// GET or POST.
    pub method: Method,
    /// Where it goes.
    pub action: Url,
    /// What it sends.
    pub fields: Vec<(String, String)>,
}

impl Page {
    /// Where a redirect leads.
    pub fn location(&self) -> Option<Url> {
        let to = self.status.is_redirection().then(|| self.headers.get(header::LOCATION)).flatten()?;
        Some(self.url.join(to.to_str().unwrap()).unwrap())
    }

    /// What a reader sees.
    pub fn text(&self) -> String {
        let document = Html::parse_document(&self.html);
        words(document.root_element())
    }

    /// Where a link leads.
    pub fn link(&self, text: &str) -> Option<Url> {
        let document = Html::parse_document(&self.html);
        let links = Selector::parse("a[href]").unwrap();
        let link = document.select(&links).find(|link| words(*link) == text)?;
        Some(self.url.join(link.attr("href").unwrap()).unwrap())
    }

    /// The form of a button whose text starts so, filled in.
    pub fn form(&self, button: &str, filled: &[(&str, &str)]) -> Option<Form> {
        let document = Html::parse_document(&self.html);
        let buttons = Selector::parse("button, input[type=submit]").unwrap();
        let pressed = document.select(&buttons).find(|found| {
            let text = found.attr("value").filter(|_| found.value().name() == "input");
            text.map_or_else(|| words(*found), str::to_owned).starts_with(button)
        })?;
        let form = pressed
            .ancestors()
            .filter_map(ElementRef::wrap)
            .find(|ancestor| ancestor.value().name() == "form")?;
        let mut fields = Vec::new();
        for input in form.select(&Selector::parse("input[name]").unwrap()) {
            let name = input.attr("name").unwrap();
            let kind = input.attr("type").unwrap_or("text");
            let chosen = !matches!(kind, "checkbox" | "radio") || input.attr("checked").is_some();
            if chosen && kind != "submit" && !filled.iter().any(|(other, _)| *other == name) {
                fields.push((name.to_owned(), input.attr("value").unwrap_or_default().to_owned()));
            }
        }
        fields.extend(filled.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        if let Some(name) = pressed.attr("name") {
            fields.push((name.to_owned(), pressed.attr("value").unwrap_or_default().to_owned()));
        }
        let post = form.attr("method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
        let action = self.url.join(form.attr("action").unwrap_or_default()).unwrap();
        Some(Form { method: if post { Method::POST } else { Method::GET }, action, fields })
    }
}

fn words(element: ElementRef<'_>) -> String {
    let text: Vec<&str> = element.text().flat_map(str::split_whitespace).collect();
    text.join(" ")
}
