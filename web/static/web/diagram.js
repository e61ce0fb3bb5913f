// Draws the diagram that the page sends, and says how high it became.
(function () {
  addEventListener('message', function (event) {
    if (event.source !== parent) return;
    // As the page's, else browsers put a white ground behind the frame.
    document.documentElement.style.colorScheme = event.data.dark ? 'dark' : 'light';
    mermaid.initialize({ startOnLoad: false, securityLevel: 'strict', theme: event.data.dark ? 'dark' : 'neutral', fontFamily: 'system-ui, sans-serif' });
    document.body.textContent = '';
    mermaid.render('diagram', String(event.data.code)).then(
      function (result) {
        document.body.innerHTML = result.svg;
        var svg = document.body.firstElementChild;
        parent.postMessage({ height: Math.ceil(svg.getBoundingClientRect().height) + 4 }, '*');
      },
      function (error) {
        parent.postMessage({ error: String(error && error.message) }, '*');
      }
    );
  });
  parent.postMessage({ ready: true }, '*');
})();
